-- keep: what the keeper of the archive does to the stream (scanner/queue/keeper.py), all of it at one moment, so that
-- no group can come to be, or be set back, between the look at the groups and the trimming.
--
-- Keeper (string): which archive is kept now. Resting (string): nothing is trimmed while it is there.
-- Group `archive` of the stream: how far the archive has come.
--
-- KEYS  events, keeper, resting
-- ARGV  who keeps, ms for which nobody else may (0: no longer), position (the last entry that is archived, or '' only
--       to say who keeps), entries added up to there, ms that entries stay at least ('' for ever), most entries to trim now,
--       1 where the group may be set back, ms after which a consumer's name is forgotten
-- Returns the entries trimmed, the entry before which all may be trimmed, and what held it there: a group's name, or
-- '' for the entries' age, or 'resting'.

local GROUP = 'archive'
local DAY_MS = 86400000
local CONSUMERS_MAX = 10000 -- of more of them the look would hold up whoever scans

-- Ids in the order of the stream. Their parts have up to 64 bits, more than a number here.
local function is_earlier(one, other)
  local ms, seq = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then
    ms, other_ms = seq, other_seq
  end
  return #ms < #other_ms or (#ms == #other_ms and ms < other_ms)
end

local function named(reply)
  local values = {}
  for at = 1, #reply, 2 do
    values[reply[at]] = reply[at + 1]
  end
  return values
end

local function groups_of(events)
  local groups = {}
  for i, reply in ipairs(redis.call('XINFO', 'GROUPS', events)) do
    groups[i] = named(reply)
  end
  return groups
end

-- Names that are made up come once, and would stay: by one with nothing pending, that nobody reads under, nothing
-- is lost. Who does after all makes it anew.
local function forget_consumers(events, group, idle_ms, also_pending)
  if group['consumers'] > CONSUMERS_MAX then
    return
  end
  for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', events, group['name'])) do
    local consumer = named(reply)
    if (also_pending or consumer['pending'] == 0) and consumer['idle'] >= idle_ms then
      redis.call('XGROUP', 'DELCONSUMER', events, group['name'], consumer['name'])
    end
  end
end

-- Notes the archive's position. Returns a refusal where the group is ahead of it.
local function note_position(events, resting, position, added, keep_ms, may_go_back)
  for _, group in ipairs(groups_of(events)) do
    if group['name'] == GROUP then
      local noted = group['last-delivered-id']
      if group['consumers'] > 0 then
        forget_consumers(events, group, 0, true) -- who read in the archive's name has moved its place
      elseif is_earlier(position, noted) and not may_go_back then
        return refuse('the archive ends at ' .. position .. ', and entries up to ' .. noted .. ' were archived')
      end
      if noted ~= position then
        redis.call('XGROUP', 'SETID', events, GROUP, position, 'ENTRIESREAD', added)
      end
      return nil
    end
  end
  redis.call('XGROUP', 'CREATE', events, GROUP, position, 'ENTRIESREAD', added)
  -- The stream is new to this keeper, or was restored: then its other groups are to be made again, too.
  local rest_ms = tonumber(keep_ms) or DAY_MS
  if rest_ms > 0 then
    redis.call('SET', resting, '1', 'PX', integer(rest_ms))
  end
  return nil
end

-- The first entry that somebody still needs, and who. One that was finished last is kept: it costs nothing, and
-- archive and stream overlap in it.
local function floor_of(events, position, keep_ms)
  local floor, by = position, GROUP
  for _, group in ipairs(groups_of(events)) do
    local id = group['last-delivered-id']
    if group['pending'] > 0 and group['name'] ~= GROUP then -- nobody handles what was read in the archive's name
      local oldest = redis.call('XPENDING', events, group['name'])[2]
      if is_earlier(oldest, id) then
        id = oldest
      end
    end
    if is_earlier(id, floor) then
      floor, by = id, group['name']
    end
  end
  local now = now_ms()
  -- Ids go on from the last one. Where the clock was far ahead once, they tell nothing about an entry's age.
  local last = named(redis.call('XINFO', 'STREAM', events))['last-generated-id']
  if tonumber(string.match(last, '^%d+')) > now + DAY_MS then
    return floor, by
  end
  local oldest_ms = now - keep_ms
  local young = integer(oldest_ms > 0 and oldest_ms or 0) .. '-0'
  if is_earlier(young, floor) then
    return young, ''
  end
  return floor, by
end

local function keep(keys, args)
  local events, keeper, resting = unpack(keys)
  local who, lease_ms, position, added, keep_ms, most, may_go_back, idle_ms = unpack(args)
  local holder = read('GET', keeper)
  if holder == nil or (holder and holder ~= '' and holder ~= who) then
    return refuse('another keeper of this stream runs: ' .. (holder or 'its key is no string'))
  end
  if lease_ms == '0' then
    redis.call('SET', keeper, '', 'PX', 1)
    return { 0, '0-0', GROUP }
  end
  redis.call('SET', keeper, who, 'PX', lease_ms)
  if position == '' or redis.call('EXISTS', events) == 0 then
    return { 0, '0-0', GROUP }
  end
  if not read('XLEN', events) then
    return redis.error_reply('RESTORING the stream is no stream')
  end
  local refusal = note_position(events, resting, position, added, keep_ms, may_go_back == '1')
  if refusal then
    return refusal
  end
  if most ~= '0' then
    for _, group in ipairs(groups_of(events)) do
      forget_consumers(events, group, tonumber(idle_ms), false)
    end
  end
  if keep_ms ~= '' then
    redis.call('PEXPIRE', resting, keep_ms, 'LT') -- the setting may have become shorter
  end
  if redis.call('EXISTS', resting) == 1 then
    return { 0, '0-0', 'resting' }
  end
  -- Where the archive's last entry is not in the stream, this is not the stream that the keeper looked at.
  if keep_ms == '' or most == '0' or #redis.call('XRANGE', events, position, position) == 0 then
    return { 0, '0-0', GROUP }
  end
  local floor, by = floor_of(events, position, tonumber(keep_ms))
  -- Whole nodes first, some at a time: a million entries at once would hold up whoever scans.
  local trimmed = redis.call('XTRIM', events, 'MINID', '~', floor, 'LIMIT', most)
  if trimmed == 0 then
    trimmed = redis.call('XTRIM', events, 'MINID', '=', floor)
  end
  return { trimmed, floor, by }
end

-- Trimming is what helps a store whose memory is full.
redis.register_function {
  function_name = 'keep_' .. VERSION,
  callback = keep,
  flags = { 'allow-oom' },
}
