// Reads a brand's stream in a consumer group, and has one effect for each event: a line in a file.
//
//   SCANNER_STORE_URL=rediss://user:password@host:6379 node read.mjs <group> <name> <file>
//
// The URL may be the path of a Unix socket; it is no argument, because those are everybody's to see.
// Several may run in a group, each with a name and a file of its own. Kill one at any moment and start it again:
// it goes on where it was. A line is the effect and the mark that it happened, so neither is there without the
// other; in a service of your own that is one transaction, with the key in a column that is unique.
import Redis from "ioredis";
import { open, readFile, truncate } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [group, name, path] = process.argv.slice(2);
const address = process.env.SCANNER_STORE_URL ?? "redis://localhost:6379";
const stream = `scanner:{${process.env.SCANNER_BRAND ?? "main"}/0}:events`;
const AT_ONCE = 100;
const BLOCK_MS = 1000; // how long a stop may take
const TAKE_OVER_MS = Number(process.env.TAKE_OVER_MS ?? 30_000); // longer than any batch takes

// The same for every copy of an event, and for no other (docs/events.md).
const keyOf = (entry, event) =>
  event.type === "scan.accepted" ? event.id : `${event.type}/${event.id ?? entry}`;

// Yours: what an event comes to. Leave alone types, fields and kinds of award that you do not know.
function effectOf(event) {
  const awards = JSON.parse(event.awards ?? "[]");
  const points = awards.filter((award) => award.kind === "points" && award.beneficiary === "member");
  return { member: event.member, points: points.reduce((sum, award) => sum + award.amount, 0) };
}

// The keys that are in the file; a line that was cut short goes.
async function seenIn(file) {
  const text = await readFile(file, "utf8").catch(() => "");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) await truncate(file, Buffer.byteLength(whole));
  return new Set(whole.split("\n").filter(Boolean).map((line) => JSON.parse(line).key));
}

async function handle(entries) {
  const effects = new Map();
  const done = [];
  for (const [entry, flat] of entries) {
    try {
      const event = {};
      for (let i = 0; i < (flat ?? []).length; i += 2) event[flat[i]] = flat[i + 1];
      const key = keyOf(entry, event);
      if (flat && !seen.has(key)) effects.set(key, { key, entry, type: event.type, ...effectOf(event) });
      done.push(entry);
    } catch (error) {
      console.error(`${entry} stays pending, and comes again: ${error.message}`);
    }
  }
  await write([...effects.values()].map((effect) => JSON.stringify(effect) + "\n").join(""));
  for (const key of effects.keys()) seen.add(key);
  if (done.length) await redis.xack(stream, group, ...done); // not before the effect lasts
}

async function write(text) {
  if (!text) return;
  try {
    await file.appendFile(text);
    await file.datasync();
  } catch (error) {
    console.error(`${path} cannot be written: ${error.message}`);
    process.exit(1); // the next start sees what is there
  }
}

async function takeOver() {
  let [from, left] = ["0-0", []];
  do {
    [from, left] = await redis.xautoclaim(stream, group, name, TAKE_OVER_MS, from, "COUNT", AT_ONCE);
    await handle(left);
  } while (running && from !== "0-0");
}

const seen = await seenIn(path);
const file = await open(path, "a");
let running = true;
let pending = "0"; // first what was read and not acknowledged: in the last life, or when the connection was lost
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => (running = false));
// CLIENT SETINFO, which it sends otherwise, is more than the role `reader` may do.
const redis = new Redis(address, { maxRetriesPerRequest: null, disableClientInfo: true });
redis.on("error", (error) => console.error(`store: ${error.message}`));
redis.on("ready", () => (pending = "0"));

await redis.xgroup("CREATE", stream, group, "0").catch((error) => {
  if (!error.message.startsWith("BUSYGROUP")) throw error;
});
for (let looked = 0; running; ) {
  try {
    if (Date.now() - looked >= TAKE_OVER_MS) {
      await takeOver();
      looked = Date.now();
    }
    const place = ["COUNT", AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", stream, pending || ">"];
    const read = await redis.xreadgroup("GROUP", group, name, ...place);
    const entries = read?.[0]?.[1] ?? [];
    await handle(entries);
    if (pending) pending = entries.length ? entries.at(-1)[0] : "";
  } catch (error) {
    console.error(`trying again: ${error.message}`); // the ledger is being restored, the group is gone, …
    pending = "0";
    await sleep(1000);
  }
}
await file.close();
await redis.quit();
