"""Side by side: scanner, an empty handler, and the same job as others would write it.

    python -m bench.compare [--rounds N] [--only NAME,…] [--quick] [--json FILE] [--svg FILE]

Each peer takes its turn in each round, the order rotating, on a fresh store and in a fresh process, asked by
the same client for the same scans: every one genuine and new, from 300 members, in a campaign of two pools.
The service has a core for itself, the store and the client share another. What is compared is CPU, because
CPU repeats where rates do not; and latency, at one rate that all of them can keep. On two slow cores five
rounds take ten minutes.

* **scanner**: ``scanner serve`` with one worker.
* **empty**: an aiohttp handler that reads the body and answers a constant. It does none of the job: it is the
  unit that makes figures of different machines comparable.
* **fastapi**: FastAPI, PyJWT, the blake3 package, redis-py; uvicorn with uvloop and httptools. Dedup, draws
  and event are three trips to the store.
* **fastify**: Fastify, @fastify/jwt, hash-wasm, ioredis with auto-pipelining. One Lua call a scan.

The last two check the token and the signature, claim the code once, take one piece of each pool, write an
event and answer a repeated scan as the first time, on the same store with the same fsync before each answer.
Each turn proves that before and after it is measured, and a peer that fails ends the comparison.

What is NOT compared, and would change the picture:

* The peers do less than scanner. They read bare codes only; know no PINs, limits, budgets, hours, lots that
  are not active or campaigns that change; draw with an ordinary random number that nobody can recompute;
  write a shorter event; and keep no metrics. FastAPI's three trips are not atomic: a crash between them
  leaves a code claimed and nothing won.
* They are written as their documentation recommends, not as somebody would who has weeks for it. A peer that
  sent its claims in batches would cost its store, and itself, far less; nothing of that is scanner's alone.
* Tokens that were verified are remembered by scanner and by fast-jwt, not by PyJWT, and 300 members fit into
  both memories. Strangers who scan once each would find scanner and Fastify dearer.
* One worker on one core, over loopback, on connections that stay open: no TLS, no proxy, no handshakes, no
  second machine, no further workers, no memory, no cold start. The store is on the same machine, behind a
  Unix socket; where it is a network away, each trip costs time, and FastAPI makes three.
* The client shares a core with the store. In closed loop the rate is that of all three together: read CPU a
  scan, and use the rate only to see who waited for whom.
* Nothing here says what a service does when it is overloaded, or when its store fails.
"""
