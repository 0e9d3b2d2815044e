// Reads a brand's stream in a consumer group, and has one effect for each event: a line in a file.
//
//   SCANNER_STORE_URL=rediss://user:password@host:6379 node read.mjs <group> <name> <file>
//
// The URL may be a Unix socket's, unix:///absolute/path; it is no argument, because those are everybody's to see.
// Several may run in a group, each with a name and a file of its own. Kill one at any moment and start it again:
// it goes on where it was. A line is the effect and the mark that it happened, so neither is there without the
// other; in a service of your own that is one transaction, with the key in a column that is unique.
import Redis from "ioredis";
import { open, readFile, truncate } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const [group, name, path] = process.argv.slice(2);
if (!path) end(2, "usage: SCANNER_STORE_URL=… node read.mjs <group> <name> <file>");
const address = (process.env.SCANNER_STORE_URL ?? "redis://localhost:6379").replace(/^unix:\/\//, "");
const stream = `scanner:{${process.env.SCANNER_BRAND ?? "main"}/0}:events`;
const AT_ONCE = 100;
const BLOCK_MS = 1000;
const STOP_MS = 2 * BLOCK_MS; // a stop takes no longer, whatever the store does
const TAKE_OVER_MS = Number(process.env.TAKE_OVER_MS ?? 30_000); // longer than any batch takes

function end(code, why) {
  console.error(why);
  process.exit(code);
}

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
  const text = await readFile(file, "utf8").catch((error) => {
    if (error.code !== "ENOENT") throw error;
    return "";
  });
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
    end(1, `${path} cannot be written: ${error.message}`); // the next start sees what is there
  }
}

async function takeOver() {
  let [from, left] = ["0-0", []];
  do {
    [from, left] = await redis.xautoclaim(stream, group, name, TAKE_OVER_MS, from, "COUNT", AT_ONCE);
    await handle(left);
  } while (running && from !== "0-0");
}

let seen, file;
try {
  seen = await seenIn(path);
  file = await open(path, "a");
} catch (error) {
  end(1, `${path} cannot be used: ${error.message}`);
}
let running = true;
let pending = "0"; // first what was read and not acknowledged: in the last life, or when the connection was lost
// CLIENT SETINFO, which it sends otherwise, is more than the role `reader` may do.
const redis = new Redis(address, { maxRetriesPerRequest: null, disableClientInfo: true });
redis.on("error", (error) => console.error(`store: ${error.message}`));
redis.on("ready", () => (pending = "0"));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);

function stop() {
  running = false;
  setTimeout(() => process.exit(0), STOP_MS).unref(); // what it waits for then comes again
}

await redis.xgroup("CREATE", stream, group, "0").catch((error) => {
  if (!error.message.startsWith("BUSYGROUP")) end(1, `there is no group ${group}: ${error.message}`);
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
