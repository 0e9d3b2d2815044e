-- Takes one piece of each pool, and says of which prize.
--
-- KEYS   the pools, each a hash: prize id -> pieces left
-- ARGV   a random number for each pool, below 2^48
-- Reply  a prize id for each pool; false where nothing is left

local won = {}
for n, pool in ipairs(KEYS) do
  local prizes, left = redis.call('HGETALL', pool), 0
  for i = 2, #prizes, 2 do
    left = left + tonumber(prizes[i])
  end
  won[n] = false
  if left > 0 then
    local piece = tonumber(ARGV[n]) % left
    for i = 1, #prizes, 2 do
      piece = piece - tonumber(prizes[i + 1])
      if piece < 0 then
        redis.call('HINCRBY', pool, prizes[i], -1)
        won[n] = prizes[i]
        break
      end
    end
  end
end
return won
