-- lot_assign: whoever sold the lot's codes is this seller from now on, or nobody that is known.
-- Lot: see lot_register, and
--   seller    whose sales its codes count as, unless the member's token names another; absent: nobody's
-- Returns 1, or 0 where it was so already or the request was done before.
--
-- KEYS  events, directory, operations, lot
-- ARGV  by, request id, lot number, seller or ''
local function lot_assign(keys, args)
  local events, directory, operations, lot = unpack(keys)
  local request, no, seller = args[2], args[3], args[4]
  local what = 'assign lot ' .. no .. ' to ' .. (seller == '' and 'nobody' or 'seller ' .. seller)
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local state, before = unpack(read('HMGET', lot, 'state', 'seller') or {})
  if not state then
    return refuse('there is no lot ' .. no)
  end
  if (before or '') == seller then
    return remember(operations, request, what)
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  if seller == '' then
    redis.call('HDEL', lot, 'seller')
    return operated(keys, args, what, 'lot:' .. no, 'lot.assigned', 'lot', no)
  end
  redis.call('HSET', lot, 'seller', seller)
  return operated(keys, args, what, 'lot:' .. no, 'lot.assigned', 'lot', no, 'seller', seller)
end

redis.register_function('lot_assign_' .. VERSION, lot_assign)
