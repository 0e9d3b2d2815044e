-- How often members have scanned and drawn.
--
-- Counts (string), under counts:<campaign>:<member>, big-endian:
--   day:4 yyyymmdd in the campaign's time zone | {owner:1, of that day:4, in total:4} … by owner
--   An owner is a pool's number, or 0 for the campaign; only owners that have a limit are counted.
--   Expires when the campaign's counters do, or with the day where nothing is limited in total.

local function read_counts(key)
  local text = try('GET', key)
  if not text then
    return { key = key, day = 0, by_owner = {} }
  end
  if type(text) ~= 'string' or #text % 9 ~= 4 then
    return nil
  end
  local counts = { key = key, day = unpack_bytes('>I4', text), by_owner = {} }
  for at = 5, #text, 9 do
    local owner, of_day, total = unpack_bytes('>I1I4I4', text, at)
    counts.by_owner[owner] = { of_day, total }
  end
  return counts
end

-- Whether a member may once more; else nil, and the ms at which they may again, 0 where never.
local function may_count(terms, owner, limits)
  local counts = terms.counts
  local count = counts.by_owner[owner]
  if count then
    if limits.total and count[2] >= limits.total then
      return nil, 0
    end
    if limits.per_day and counts.day == terms.day and count[1] >= limits.per_day then
      return nil, terms.day_until
    end
  end
  return true
end

local function count_once(terms, owner, plan)
  local counts = terms.counts
  if counts.day ~= terms.day then
    counts.day = terms.day
    for _, count in pairs(counts.by_owner) do
      count[1] = 0
    end
  end
  local count = counts.by_owner[owner] or { 0, 0 }
  counts.by_owner[owner] = { count[1] + 1, count[2] + 1 }
  counts.until_ms = plan.counted_until or terms.day_until
  counts.plan, counts.touched = plan, true
end

local function write_counts(counts)
  local plan, text = counts.plan, pack_bytes('>I4', counts.day)
  for owner = 0, 255 do
    local count = counts.by_owner[owner]
    local limits = owner == 0 and plan or plan.by_no[owner]
    if count and limits and (limits.per_day or limits.total) then
      text = text .. pack_bytes('>I1I4I4', owner, count[1], count[2])
    end
  end
  call('SET', counts.key, text, 'PXAT', integer(counts.until_ms))
end
