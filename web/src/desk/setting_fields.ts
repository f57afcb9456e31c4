/** Settings of the run beside those of the service: what is changed, and what somebody else changed. */

export type Value = string | number | boolean | null;

/** Settings that are others than those of the service. */
export function changesOf(now: Readonly<Record<string, Value>>, wanted: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => value !== now[name]));
}

/** Settings that somebody else changed to something that is not wanted here. */
export function conflictsOf(
  before: Readonly<Record<string, Value>>, now: Readonly<Record<string, Value>>, changes: Readonly<Record<string, Value>>,
): { name: string; theirs: Value; mine: Value | undefined }[] {
  return Object.keys(now)
    .filter((name) => now[name] !== before[name])
    .map((name) => ({ name, theirs: now[name] ?? null, mine: changes[name] }));
}
