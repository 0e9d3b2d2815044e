-- lot_activate: the serials from … to (inclusive) may be claimed from now on.
-- Lot: see lot_register. Returns 1, or 0 where they were active already or the request was done before.
--
-- KEYS  events, directory, operations, lot
-- ARGV  by, request id, lot number, from, to

local RANGES_MAX = 256

-- Sorted ranges in which no two touch.
local function merge(ranges)
  table.sort(ranges, function(a, b) return a[1] < b[1] end)
  local merged = {}
  for _, range in ipairs(ranges) do
    local last = merged[#merged]
    if last and range[1] <= last[2] + 1 then
      last[2] = math.max(last[2], range[2])
    else
      merged[#merged + 1] = { range[1], range[2] }
    end
  end
  return merged
end

local function lot_activate(keys, args)
  local events, directory, operations, lot = unpack(keys)
  local request, no, from, to = args[2], args[3], tonumber(args[4]), tonumber(args[5])
  local what = 'activate lot ' .. no .. ' from ' .. integer(from) .. ' to ' .. integer(to)
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local size, state, active = unpack(read('HMGET', lot, 'size', 'state', 'active') or {})
  if not size then
    return refuse('there is no lot ' .. no)
  end
  if state == 'blocked' then
    return refuse('lot ' .. no .. ' is blocked')
  end
  if from > to or to >= tonumber(size) then
    return refuse('lot ' .. no .. ' has the serials 0 to ' .. integer(size - 1))
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  local ranges = lot_ranges(active)
  ranges[#ranges + 1] = { from, to }
  ranges = merge(ranges)
  if #ranges > RANGES_MAX then
    return refuse('lot ' .. no .. ' has ' .. RANGES_MAX .. ' separate active ranges; activate what lies between')
  end
  local parts = {}
  for i, range in ipairs(ranges) do
    parts[i] = integer(range[1]) .. '-' .. integer(range[2])
  end
  local text = table.concat(parts, ',')
  if text == active then
    return remember(operations, request, what)
  end
  redis.call('HSET', lot, 'active', text)
  return operated(keys, args, what, 'lot:' .. no, 'lot.activated', 'lot', no, 'from', integer(from),
    'to', integer(to))
end

redis.register_function('lot_activate_' .. VERSION, lot_activate)
