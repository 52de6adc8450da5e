// A reporter for `node --test`: the totals of the whole run as one JSON line. What people read comes from another one.
export default async function* counts(events) {
  for await (const { type, data } of events) {
    // Each file has a summary of its own; the one of the run names no file.
    if (type !== 'test:summary' || data.file !== undefined) continue;
    const { passed, failed, cancelled, skipped, todo } = data.counts;
    yield `${JSON.stringify({ passed, failed: failed + cancelled, skipped: skipped + todo })}\n`;
  }
}
