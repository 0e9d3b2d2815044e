-- lot_block: no code of the lot can be claimed any more. What was claimed stays claimed.
-- Lot: see lot_register. Returns 1, or 0 where it was blocked already.
--
-- KEYS  events, directory, lot
-- ARGV  by, lot number
local function lot_block(keys, args)
  local events, directory, lot = keys[1], keys[2], keys[3]
  local by, no = args[1], args[2]
  local state = read('HGET', lot, 'state')
  if not state then
    return refuse('there is no lot ' .. no)
  end
  if state == 'blocked' then
    return 0
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger is not a stream')
  end
  redis.call('HSET', lot, 'state', 'blocked')
  change(events, directory, 'lot:' .. no, 'type', 'lot.blocked', 'at', integer(now_ms()), 'by', by, 'lot', no)
  return 1
end

redis.register_function('lot_block_' .. VERSION, lot_block)
