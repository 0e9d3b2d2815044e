-- lot_register: a lot of codes becomes known. None of its codes is active yet.
--
-- Lot (hash):
--   kid       key id of the master key that signed its codes
--   size      how many serials: 0 … size-1
--   product   GTIN-14
--   campaign  the campaign its unclaimed codes belong to now
--   pin       1 where a code asks for its PIN, else 0
--   state     open | blocked
--   active    inclusive serial ranges that may be claimed, merged and sorted: 0-499,700-999
--   seller    who sells its codes, where that is known (lot_assign); absent until then
--
-- KEYS  events, directory, lot, campaign
-- ARGV  by, lot number, kid, size, product, campaign id, pin

-- The active ranges as {from, to} pairs.
local function lot_ranges(text)
  local ranges = {}
  for from, to in string.gmatch(text, '(%d+)%-(%d+)') do
    ranges[#ranges + 1] = { tonumber(from), tonumber(to) }
  end
  return ranges
end

local function lot_register(keys, args)
  local events, directory, lot, campaign = keys[1], keys[2], keys[3], keys[4]
  local by, no, kid, size, product, campaign_id, pin = unpack(args)
  if read('EXISTS', lot) ~= 0 then
    return refuse('lot ' .. no .. ' is registered already')
  end
  if not read('HGET', campaign, 'version') then
    return refuse('there is no campaign ' .. campaign_id .. ': apply its file first')
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', lot, 'kid', kid, 'size', size, 'product', product, 'campaign', campaign_id,
    'pin', pin, 'state', 'open', 'active', '')
  change(events, directory, 'lot:' .. no, 'type', 'lot.registered', 'at', integer(now_ms()), 'by', by,
    'lot', no, 'kid', kid, 'size', size, 'product', product, 'campaign', campaign_id, 'pin', pin)
  return 1
end

redis.register_function('lot_register_' .. VERSION, lot_register)
