-- pool_top_up: pieces of a prize are added to what is left of it. The caller has judged whether this prize may grow,
-- against the version it read; this function makes sure that nothing moved in between.
-- Pool: see campaign_apply. Returns 1, or 0 where the request was done before.
--
-- KEYS  events, directory, operations, campaign, pool
-- ARGV  by, request id, campaign id, version that was read, pool id, prize id, pieces

local PIECES_MAX = 1e12

-- What is left after a top-up; nil where either is beyond its bounds. Up to 10^15 a double counts one by one.
local function topped_up(left, more, most)
  if not more or more < 1 or more ~= math.floor(more) or left + more > most then
    return nil
  end
  return left + more
end

local function pool_top_up(keys, args)
  local events, directory, operations, campaign, pool = unpack(keys)
  local _, request, id, seen, pool_id, prize, more = unpack(args)
  local what = 'top up prize ' .. pool_id .. '/' .. prize .. ' of campaign ' .. id .. ' by ' .. more
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  if read('HGET', campaign, 'version') ~= seen then
    return refuse('campaign ' .. id .. ' changed meanwhile: try again')
  end
  local left = read('HGET', pool, prize)
  if left == '*' then
    return refuse('prize ' .. pool_id .. '/' .. prize .. ' has no stock limit')
  end
  left = left and tonumber(left)
  if not left then
    return refuse('prize ' .. pool_id .. '/' .. prize .. ' has no stock in the store')
  end
  local sum = topped_up(left, tonumber(more), PIECES_MAX)
  if not sum then
    return refuse('a top-up adds 1 piece or more, and a stock has at most ' .. integer(PIECES_MAX) .. ': '
      .. integer(left) .. ' are left')
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', pool, prize, integer(sum))
  return operated(keys, args, what, 'campaign:' .. id, 'pool.topped_up', 'campaign', id, 'pool', pool_id,
    'prize', prize, 'n', integer(more))
end

redis.register_function('pool_top_up_' .. VERSION, pool_top_up)
