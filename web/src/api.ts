/** Asks the service. */
import { text } from "./text.ts";

/** A refusal: why, in one sentence, and which field of the request it is about. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly field: string | null;

  constructor(status: number, reason: string, message: string, field: string | null = null) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.field = field;
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** Bytes with the headers that came before them. */
export interface Answer {
  headers: Headers;
  bytes: ArrayBuffer;
}

export interface Request {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  query?: Query;
  /** sent as JSON; a Blob as it is, by its type */
  body?: unknown;
  /** of what is changed: the service refuses with 412 when somebody else changed it since */
  revision?: number | null;
  accept?: string;
  signal?: AbortSignal | undefined;
}

export class Api {
  /** Called when there is no session, or it has ended; what was asked for is asked again when there is one. */
  unauthorized: () => Promise<void> = () => Promise.reject(new Error("there is no session"));
  readonly base: string;

  constructor(base: string) {
    this.base = base;
  }

  address(path: string, query: Query = {}): string {
    const address = new URL(`api/v1/${path}`, this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== null && value !== undefined) address.searchParams.set(name, String(value));
    }
    return address.href;
  }

  /** JSON of an answer.
   *
   * Throws ApiError: a refusal, or reason "unreachable" when nobody answers. */
  async json<T>(path: string, request: Request = {}): Promise<T> {
    const response = await this.#fetch(path, { accept: "application/json", ...request });
    if (response.status === 204) return undefined as T;
    return (await response.json()) as T;
  }

  async bytes(path: string, request: Request = {}): Promise<Answer> {
    const response = await this.#fetch(path, { accept: "application/octet-stream", ...request });
    return { headers: response.headers, bytes: await response.arrayBuffer() };
  }

  async #fetch(path: string, request: Request): Promise<Response> {
    const response = await this.#once(path, request);
    if (response.ok) return response;
    const refusal = await refusalOf(response);
    if (response.status !== 401 || path === "session") throw refusal;
    await this.unauthorized();
    const again = await this.#once(path, request);
    if (again.ok) return again;
    throw await refusalOf(again);
  }

  async #once(path: string, request: Request): Promise<Response> {
    const headers: Record<string, string> = { Accept: request.accept ?? "application/json" };
    const blob = request.body instanceof Blob ? request.body : null;
    if (request.body !== undefined) headers["Content-Type"] = blob?.type || "application/json";
    if (request.revision !== undefined && request.revision !== null) headers["If-Match"] = `"${request.revision}"`;
    try {
      return await fetch(this.address(path, request.query), {
        method: request.method ?? "GET",
        headers,
        body: blob ?? (request.body === undefined ? null : JSON.stringify(request.body)),
        credentials: "same-origin",
        cache: "no-store",
        signal: request.signal ?? null,
      });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, "unreachable", text.shell.unreachable);
    }
  }
}

async function refusalOf(response: Response): Promise<ApiError> {
  try {
    const words = (await response.json()) as { reason: string; msg: string; field: string | null };
    return new ApiError(response.status, words.reason, words.msg, words.field);
  } catch {
    return new ApiError(response.status, "internal", `the service answered ${response.status}`);
  }
}
