-- Wrong PINs, counted by code and by member; each makes the next try wait longer.
--
-- Tries (string), under tries:<lot>:<serial> and tries:<member>: count:2 | until:6, big-endian; expires a day after
-- the last wrong one. Nothing is judged before `until`, right or wrong, so that guessing learns nothing meanwhile.

local FORGOTTEN_AFTER_MS = '86400000'
local FIRST_WAIT_MS = 10000
-- So many are free: people mistype. A member scans many codes, and so may mistype more; but whoever guesses waits
-- longer than the codes they guess at, or one member could keep a code shut for its owner.
local OF_CODE = { free = 3, wait_max_ms = 300000 }
local OF_MEMBER = { free = 6, wait_max_ms = 3600000 }

local function read_tries(key)
  local text = try('GET', key)
  if not text then
    return { key = key, count = 0, until_ms = 0 }
  end
  if type(text) ~= 'string' or #text ~= 8 then
    return nil
  end
  local count, until_ms = unpack_bytes('>I2I6', text)
  return { key = key, count = count, until_ms = until_ms }
end

local function add_try(tries, rule, now)
  tries.count = math.min(tries.count + 1, 65535)
  if tries.count >= rule.free then
    tries.until_ms = now + math.min(FIRST_WAIT_MS * 2 ^ math.min(tries.count - rule.free, 30), rule.wait_max_ms)
  end
  tries.touched = true
end

-- A right PIN makes good for one wrong one of the member's, or a slip a day would add up for ever.
local function forgive_try(tries)
  if tries.count > 0 then
    tries.count = tries.count - 1
    tries.touched = true
  end
end

local function write_tries(tries)
  call('SET', tries.key, pack_bytes('>I2I6', tries.count, tries.until_ms), 'PX', FORGOTTEN_AFTER_MS)
end

local TRIES_BYTES = 4

-- Two keys of tries, at `next` of the frames. Returns them, or nil where one is broken.
local function tries_at(session, frames, next)
  local code_k, member_k = unpack_bytes('>I2I2', frames, next)
  local code = once(session.tries, session, code_k, read_tries)
  local member = once(session.tries, session, member_k, read_tries)
  return code and member and code, member
end

-- A wrong PIN. Frame after its head (see claim), kind 6: code tries k:2 | member tries k:2. Verdict W with until:6,
-- where nothing was judged, or Z with until:6, from when on there is another try.
local function judge_wrong_pin(session, frames, at)
  local code, member = tries_at(session, frames, at)
  if not code then
    return 'Y'
  end
  local until_ms = math.max(code.until_ms, member.until_ms)
  if session.now < until_ms then
    return 'W' .. pack_bytes('>I6', until_ms)
  end
  add_try(code, OF_CODE, session.now)
  add_try(member, OF_MEMBER, session.now)
  return 'Z' .. pack_bytes('>I6', math.max(code.until_ms, member.until_ms))
end
