/** Unpacks views and makes colours of them, beside the thread of the page. */
export {};
