-- What every function shares: reading without falling over, refusing, and writing a change into the ledger.

-- The reply of a read, or nil where the key has a wrong type: broken is *not ready*, never *empty*.
local function read(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    return nil
  end
  return reply
end

-- A refusal is data for the caller to show; REFUSED is its error code.
local function refuse(message)
  return redis.error_reply('REFUSED ' .. message)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Numbers reach the store as text; Lua's own conversion would write 1.7e+12.
local function integer(number)
  return string.format('%.0f', number)
end

-- What runs after the first write, and on which keys. The store's user may be forbidden a command
-- (scanner/ledger/acl.py), and a call that is refused half way would leave a claim without its entry.
local RUN_BY_CLAIMS = { { 'HSET', 'claims:' }, { 'HSET', 'pool:' }, { 'HSET', 'budget:' }, { 'HSET', 'wallet:' },
  { 'HSET', 'share:' }, { 'HSET', 'requests:' }, { 'HDEL', 'wallet:' }, { 'SET', 'counts:' }, { 'SET', 'tries:' },
  { 'XADD', 'events' }, { 'ZADD', 'expiries' }, { 'ZREM', 'expiries' } }
local RUN_BY_CHANGES = { { 'DEL', 'pool:' }, { 'HDEL', 'lot:' }, { 'HSET', 'lot:' }, { 'HSET', 'campaign:' },
  { 'HSET', 'pool:' }, { 'HSET', 'budget:' }, { 'HSET', 'operations' }, { 'TIME', '' }, { 'XADD', 'events' },
  { 'ZADD', 'directory' }, { 'ZRANGE', 'directory' } }

local function may_run(commands, events)
  local prefix = string.sub(events, 1, -#'events' - 1)
  for i = 1, #commands do
    if not redis.acl_check_cmd(commands[i][1], prefix .. commands[i][2]) then
      return false
    end
  end
  return true
end

-- Whether the ledger can be written: asked before the first write, because nothing rolls back after it.
local function ledger_ready(events, directory)
  return may_run(directory and RUN_BY_CHANGES or RUN_BY_CLAIMS, events)
    and read('XLEN', events) and (not directory or read('ZCARD', directory))
end

-- Writes one change: an entry in the ledger, and the changed thing's new revision for the workers' caches.
local function change(events, directory, member, ...)
  redis.call('XADD', events, '*', ...)
  local last = redis.call('ZRANGE', directory, 0, 0, 'REV', 'WITHSCORES')
  redis.call('ZADD', directory, integer((tonumber(last[2]) or 0) + 1), member)
end

-- Operations (hash): request id → what was done under it. An operation's first KEYS are events, directory and
-- operations, its first ARGV are by and the request id, '' for none.

-- The answer to a request that came before: 0, or a refusal where it was used for something else; nil to a new one.
local function done_before(operations, request, what)
  if request == '' then
    return nil
  end
  local done = read('HGET', operations, request)
  if done == nil then
    return refuse('the operations are not a hash')
  end
  if done and done ~= what then
    return refuse('request id ' .. request .. ' was used for something else: ' .. done)
  end
  return done and 0
end

-- A request is done also where it found nothing to change.
local function remember(operations, request, what)
  if request ~= '' then
    redis.call('HSET', operations, request, what)
  end
  return 0
end

-- Writes what an operation changed: its request id, and an entry of this type with the further fields.
local function operated(keys, args, what, member, type, ...)
  local request, fields = args[2], { ... }
  if request ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'request', request
  end
  remember(keys[3], request, what)
  change(keys[1], keys[2], member, 'type', type, 'at', integer(now_ms()), 'by', args[1], unpack(fields))
  return 1
end
