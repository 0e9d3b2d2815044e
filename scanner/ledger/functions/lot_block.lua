-- lot_block: no code of the lot can be claimed any more. What was claimed stays claimed.
-- Lot: see lot_register. Returns 1, or 0 where it was blocked already or the request was done before.
--
-- KEYS  events, directory, operations, lot
-- ARGV  by, request id, lot number
local function lot_block(keys, args)
  local events, directory, operations, lot = unpack(keys)
  local request, no = args[2], args[3]
  local what = 'block lot ' .. no
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local state = read('HGET', lot, 'state')
  if not state then
    return refuse('there is no lot ' .. no)
  end
  if state == 'blocked' then
    return remember(operations, request, what)
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', lot, 'state', 'blocked')
  return operated(keys, args, what, 'lot:' .. no, 'lot.blocked', 'lot', no)
end

redis.register_function('lot_block_' .. VERSION, lot_block)
