-- lot_move: the lot's unclaimed codes belong to another campaign from now on.
-- Lot: see lot_register. Returns 1, or 0 where it belonged there already or the request was done before.
--
-- KEYS  events, directory, operations, lot, campaign
-- ARGV  by, request id, lot number, campaign id
local function lot_move(keys, args)
  local events, directory, operations, lot, campaign = unpack(keys)
  local request, no, campaign_id = args[2], args[3], args[4]
  local what = 'move lot ' .. no .. ' to campaign ' .. campaign_id
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local from = read('HGET', lot, 'campaign')
  if not from then
    return refuse('there is no lot ' .. no)
  end
  if not read('HGET', campaign, 'version') then
    return refuse('there is no campaign ' .. campaign_id .. ': apply its file first')
  end
  if from == campaign_id then
    return remember(operations, request, what)
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', lot, 'campaign', campaign_id)
  return operated(keys, args, what, 'lot:' .. no, 'lot.moved', 'lot', no, 'from_campaign', from,
    'campaign', campaign_id)
end

redis.register_function('lot_move_' .. VERSION, lot_move)
