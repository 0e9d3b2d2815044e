-- Claims a code: dedup, one piece of each pool, and the event, in one step.
--
-- KEYS   1 the claim, a hash: member, at, and what was won
--        2 the event stream
--        3… the pools, each a hash: prize id -> pieces left
-- ARGV   1 member  2 time in ms  3 code  4 lot  5 serial  6 campaign  7 product  8 channel
--        9… a random number for each pool, below 2^48
-- Reply  'won' or 'claimed', then member, time and the prize of each pool of the first claim ('' for none)

local first = redis.call('HMGET', KEYS[1], 'member', 'at', 'won')
if first[1] then
  local reply = { 'claimed', first[1], first[2] }
  for _, prize in ipairs(cjson.decode(first[3])) do
    reply[#reply + 1] = prize
  end
  return reply
end

local won = {}
for n = 1, #KEYS - 2 do
  local pool, left = KEYS[n + 2], 0
  local prizes = redis.call('HGETALL', pool)
  for i = 2, #prizes, 2 do
    left = left + tonumber(prizes[i])
  end
  won[n] = ''
  if left > 0 then
    local piece = tonumber(ARGV[n + 8]) % left
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

local awards = cjson.encode(won)
redis.call('HSET', KEYS[1], 'member', ARGV[1], 'at', ARGV[2], 'won', awards)
redis.call('XADD', KEYS[2], '*', 'at', ARGV[2], 'id', ARGV[3], 'campaign', ARGV[6], 'member', ARGV[1],
  'channel', ARGV[8], 'product', ARGV[7], 'lot', ARGV[4], 'serial', ARGV[5], 'awards', awards)
return { 'won', ARGV[1], ARGV[2], unpack(won) }
