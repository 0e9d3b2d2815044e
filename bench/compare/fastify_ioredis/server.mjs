// The job on Node, as the documentation of its parts recommends it: Fastify with schemas for what comes in and
// goes out, @fastify/jwt with the cache of fast-jwt, ioredis with auto-pipelining and one Lua call a scan,
// BLAKE3 from WebAssembly, of the packages tried the fastest on inputs of a few bytes.
//
//     node server.mjs FACTS.json
//
// FACTS.json is what bench/compare/brand.py writes. Prints its address once it listens.

import { timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'

import jwt from '@fastify/jwt'
import Fastify from 'fastify'
import { createBLAKE3 } from 'hash-wasm'
import Redis from 'ioredis'

const facts = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const { campaign, lot, pools } = facts
const claimScript = readFileSync(new URL('claim.lua', import.meta.url), 'utf8')

// 15 bytes, kid:6 | body:50 | tag:64, as docs/contract.md has it, section 1.
const DIGITS = new Map()
for (const [value, digit] of [...'0123456789ABCDEFGHJKMNPQRSTVWXYZ'].entries()) {
  DIGITS.set(digit.charCodeAt(0), value).set(digit.toLowerCase().charCodeAt(0), value)
}
for (const [digit, value] of [['O', 0], ['o', 0], ['I', 1], ['i', 1], ['L', 1], ['l', 1]]) {
  DIGITS.set(digit.charCodeAt(0), value)
}
const maskHash = await createBLAKE3(56, Buffer.from(facts.key.mask, 'hex'))
const tagHash = await createBLAKE3(64, Buffer.from(facts.key.tag, 'hex'))
const masked = Buffer.alloc(9)
const signed = Buffer.alloc(8)

function decoded (text) {
  const raw = Buffer.allocUnsafe(15)
  let bits = 0
  let held = 0
  let at = 0
  for (let i = 0; i < 24; i++) {
    held = (held << 5) | DIGITS.get(text.charCodeAt(i))
    bits += 5
    if (bits >= 8) {
      bits -= 8
      raw[at++] = held >>> bits
      held &= (1 << bits) - 1
    }
  }
  return raw
}

// The lot and the serial of a genuine code, else null. The 50 bits of the body are split, 18 and 32.
function verified (text) {
  const raw = decoded(text)
  const kid = raw[0] >>> 2
  const tag = raw.subarray(7)
  masked[0] = kid
  tag.copy(masked, 1)
  const mask = maskHash.init().update(masked).digest('binary')
  const maskHigh = (mask[0] << 16) | (mask[1] << 8) | mask[2]
  const maskLow = ((mask[3] << 24) | (mask[4] << 16) | (mask[5] << 8) | mask[6]) >>> 0
  const high = (((raw[0] << 16) | (raw[1] << 8) | raw[2]) & 0x3ffff) ^ (maskHigh >>> 6)
  const low = (raw.readUInt32BE(3) ^ ((maskLow >>> 6) | (maskHigh << 26))) >>> 0
  signed[0] = kid
  signed.writeUIntBE(high, 1, 3)
  signed.writeUInt32BE(low, 4)
  const genuine = timingSafeEqual(tagHash.init().update(signed).digest('binary'), tag)
  const code = { lot: ((high << 6) | (low >>> 26)) >>> 0, serial: low & 0x3ffffff }
  return genuine && kid === facts.key.kid && code.lot === lot.no && code.serial < lot.size ? code : null
}

const redis = new Redis({ path: facts.store, enableAutoPipelining: true })
redis.defineCommand('claim', { numberOfKeys: 2 + pools.length, lua: claimScript })
const poolKeys = pools.map(pool => pool.key)

const app = Fastify()
await app.register(jwt, {
  secret: Buffer.from(facts.token_key, 'hex'),
  verify: { algorithms: ['HS256'], allowedAud: facts.audience, cache: 10000, cacheKeyBuilder: token => token }
})

const text = { type: 'string' }
const award = {
  type: 'object',
  required: ['pool', 'prize', 'kind', 'amount', 'beneficiary'],
  properties: { pool: text, prize: text, kind: text, amount: { type: 'integer' }, currency: text, beneficiary: text }
}
const schema = {
  body: {
    type: 'object',
    required: ['code'],
    properties: {
      code: { type: 'string', pattern: '^[0-9A-TV-Za-tv-z]{24}$' },
      pin: { type: 'string', pattern: '^[0-9]{6}$' },
      channel: { type: 'string', pattern: '^[a-z0-9-]{0,32}$' },
      location: {
        type: 'object',
        required: ['lat', 'lng'],
        properties: {
          lat: { type: 'number', minimum: -90, maximum: 90 },
          lng: { type: 'number', minimum: -180, maximum: 180 }
        }
      }
    }
  },
  response: {
    200: {
      type: 'object',
      properties: {
        outcome: text,
        scan_id: text,
        replayed: { type: 'boolean' },
        campaign: text,
        product: text,
        scanned_at: text,
        awards: { type: 'array', items: award }
      }
    },
    '4xx': {
      type: 'object',
      properties: { type: text, title: text, status: { type: 'integer' }, outcome: text, first_scanned_at: text }
    }
  }
}

function refuse (reply, status, outcome, title, more) {
  reply.code(status).type('application/problem+json')
  return { type: `urn:scanner:${outcome}`, title, status, outcome, ...more }
}

async function authenticated (request, reply) {
  try {
    await request.jwtVerify()
  } catch {
    reply.header('WWW-Authenticate', 'Bearer')
    return reply.send(refuse(reply, 401, 'unauthorized', 'The token is missing, expired or wrong'))
  }
}

app.post('/v1/scans', { schema, onRequest: authenticated }, async (request, reply) => {
  const { code, channel = '' } = request.body
  const member = request.user.sub
  const piece = verified(code)
  if (piece === null) {
    return refuse(reply, 404, 'unknown_code', 'This is no code of ours')
  }
  const draws = pools.map(() => Math.floor(Math.random() * 2 ** 48))
  const [done, first, at, ...won] = await redis.claim(
    `claim:${lot.no}:${piece.serial}`, facts.events, ...poolKeys,
    member, Date.now(), code, piece.lot, piece.serial, campaign.id, lot.product, channel, ...draws
  )
  const scannedAt = new Date(Number(at)).toISOString()
  if (done === 'claimed' && first !== member) {
    return refuse(reply, 409, 'claimed', 'Somebody else was first', { first_scanned_at: scannedAt })
  }
  return {
    outcome: 'accepted',
    scan_id: code,
    replayed: done === 'claimed',
    campaign: campaign.id,
    product: lot.product,
    scanned_at: scannedAt,
    awards: won.map((prize, n) => pools[n].awards[prize]).filter(Boolean)
  }
})

console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
