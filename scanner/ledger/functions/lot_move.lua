-- lot_move: the lot's unclaimed codes belong to another campaign from now on.
-- Lot: see lot_register. Returns 1, or 0 where it belonged there already.
--
-- KEYS  events, directory, lot, campaign
-- ARGV  by, lot number, campaign id
local function lot_move(keys, args)
  local events, directory, lot, campaign = keys[1], keys[2], keys[3], keys[4]
  local by, no, campaign_id = args[1], args[2], args[3]
  local from = read('HGET', lot, 'campaign')
  if not from then
    return refuse('there is no lot ' .. no)
  end
  if not read('HGET', campaign, 'version') then
    return refuse('there is no campaign ' .. campaign_id .. ': apply its file first')
  end
  if from == campaign_id then
    return 0
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger is not a stream')
  end
  redis.call('HSET', lot, 'campaign', campaign_id)
  change(events, directory, 'lot:' .. no, 'type', 'lot.moved', 'at', integer(now_ms()), 'by', by,
    'lot', no, 'from_campaign', from, 'campaign', campaign_id)
  return 1
end

redis.register_function('lot_move_' .. VERSION, lot_move)
