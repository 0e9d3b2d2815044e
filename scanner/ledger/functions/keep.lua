-- keep: what the keeper of the archive does to the stream (scanner/queue/keeper.py), all of it at one moment, so that
-- no group can come to be, or be set back, between the look at the groups and the trimming.
--
-- Keeper (string): which archive is kept now. Resting (string): nothing is trimmed while it is there.
-- Group `archive` of the stream: how far the archive has come.
--
-- KEYS  events, keeper, resting
-- ARGV  who keeps, ms for which nobody else may (0: no longer), position (the last entry that is archived, or '' only
--       to say who keeps), entries added up to there, ms that entries stay at least ('' for ever), most entries to trim now,
--       1 where the group may be set back
-- Returns the entries trimmed, the entry before which all may be trimmed, and what held it there: a group's name, or
-- '' for the entries' age, or 'resting'.

local GROUP = 'archive'
local DAY_MS = 86400000

-- Ids in the order of the stream. Their parts have up to 64 bits, more than a number here.
local function is_earlier(one, other)
  local ms, seq = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  if ms == other_ms then
    ms, other_ms = seq, other_seq
  end
  return #ms < #other_ms or (#ms == #other_ms and ms < other_ms)
end

local function groups_of(events)
  local groups = {}
  for i, reply in ipairs(redis.call('XINFO', 'GROUPS', events)) do
    groups[i] = {}
    for at = 1, #reply, 2 do
      groups[i][reply[at]] = reply[at + 1]
    end
  end
  return groups
end

-- Notes the archive's position. Returns a refusal where the group is ahead of it.
local function note_position(events, resting, position, added, keep_ms, may_go_back)
  for _, group in ipairs(groups_of(events)) do
    if group['name'] == GROUP then
      local noted = group['last-delivered-id']
      if is_earlier(position, noted) and not may_go_back then
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
    if group['pending'] > 0 then
      local oldest = redis.call('XPENDING', events, group['name'])[2]
      if is_earlier(oldest, id) then
        id = oldest
      end
    end
    if is_earlier(id, floor) then
      floor, by = id, group['name']
    end
  end
  local oldest_ms = now_ms() - keep_ms
  local young = integer(oldest_ms > 0 and oldest_ms or 0) .. '-0'
  if is_earlier(young, floor) then
    return young, ''
  end
  return floor, by
end

local function keep(keys, args)
  local events, keeper, resting = unpack(keys)
  local who, lease_ms, position, added, keep_ms, most, may_go_back = unpack(args)
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
