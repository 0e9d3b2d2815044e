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

-- Whether the ledger can be written: asked before the first write, because nothing rolls back after it.
local function ledger_ready(events, directory)
  return read('XLEN', events) and (not directory or read('ZCARD', directory))
end

-- Writes one change: an entry in the ledger, and the changed thing's new revision for the workers' caches.
local function change(events, directory, member, ...)
  redis.call('XADD', events, '*', ...)
  local last = redis.call('ZRANGE', directory, 0, 0, 'REV', 'WITHSCORES')
  redis.call('ZADD', directory, integer((tonumber(last[2]) or 0) + 1), member)
end
