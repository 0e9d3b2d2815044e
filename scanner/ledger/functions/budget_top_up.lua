-- budget_top_up: money is added to what is left of a budget, a pool's or the campaign's.
-- As with pool_top_up, the caller has judged the version it read.
-- Budget (hash): pool id, or * for the campaign → the money left; no field where there is no budget.
-- Returns 1, or 0 where the request was done before.
--
-- KEYS  events, directory, operations, campaign, budget
-- ARGV  by, request id, campaign id, version that was read, pool id or * for the campaign, minor units

local MONEY_MAX = 1e15

local function budget_top_up(keys, args)
  local events, directory, operations, campaign, budget = unpack(keys)
  local _, request, id, seen, pool_id, more = unpack(args)
  local whose = pool_id == '*' and 'campaign ' .. id or 'pool ' .. pool_id .. ' of campaign ' .. id
  local what = 'top up the budget of ' .. whose .. ' by ' .. more .. ' minor units'
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  if read('HGET', campaign, 'version') ~= seen then
    return refuse('campaign ' .. id .. ' changed meanwhile: try again')
  end
  local left = read('HGET', budget, pool_id)
  left = left and tonumber(left)
  if not left then
    return refuse(whose .. ' has no budget in the store')
  end
  local sum = topped_up(left, tonumber(more), MONEY_MAX)
  if not sum then
    return refuse('a top-up adds 1 minor unit or more, and a budget has at most ' .. integer(MONEY_MAX) .. ': '
      .. integer(left) .. ' are left')
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', budget, pool_id, integer(sum))
  if pool_id == '*' then
    return operated(keys, args, what, 'campaign:' .. id, 'budget.topped_up', 'campaign', id,
      'amount', integer(more))
  end
  return operated(keys, args, what, 'campaign:' .. id, 'budget.topped_up', 'campaign', id, 'pool', pool_id,
    'amount', integer(more))
end

redis.register_function('budget_top_up_' .. VERSION, budget_top_up)
