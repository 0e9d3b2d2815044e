-- claim: a batch of claims of every kind. Each is judged on what was read and on what those before it in the batch
-- have taken; then everything is written.
--
-- KEYS  events, then every key that the frames and commons name, once each
-- ARGV  all frames in one string; then what several of them have in common, once each: see common
-- Frame, big-endian: kind:1 | common:2, an index into ARGV after the first, 0 for none | bytes that follow:2 | …
--   What follows is the kind's: see scan, request, share, packet, tries.
-- Reply: one string a claim, its first byte the verdict:
--   A record  accepted          R record  the same claim of before
--   C at:6    someone else was first
--   M         the request id was used for something else
--   B blocked   N not active   P paused   S campaign not started   O over
--   F         the rules were judged to say no
--   L until:6   at a limit until then, 0 for ever
--   E nothing to take: no chance, sold out, slots used up   G the giver's own packet
--   W until:6   no PIN is judged until then   Z until:6   a wrong PIN, the next is judged from then on
--   X another campaign, version or seller: read them again   T now:6   judge the rules for this moment
--   D done     Y a key is missing or broken: not ready

local JUDGES = { judge_scan, judge_draw, judge_grant, judge_friend, judge_expiry, judge_wrong_pin }

local function write_pools(pools)
  for _, pool in pairs(pools) do
    if pool then
      write_pool(pool)
    end
  end
end

local function write_touched(cache, write)
  for _, value in pairs(cache) do
    if value and value.touched then
      write(value)
    end
  end
end

local function write_all(session)
  local list = session.accepted
  for i = 1, #list do
    local accepted = list[i]
    if accepted[1] then
      call('HSET', accepted[1], accepted[2], accepted[3])
    end
    if accepted[5] then
      add_scan(session, accepted[4], accepted[5], accepted[6], accepted[7])
    else
      call(unpack(accepted[4]))
    end
  end
  for _, command in ipairs(session.calls) do
    call(unpack(command))
  end
  write_pools(session.pools)
  write_touched(session.budgets, write_budget)
  write_touched(session.counts, write_counts)
  write_touched(session.wallets, write_wallet)
  write_touched(session.tries, write_tries)
end

local HEAD = '>I1I2I2'

local function claim(keys, args)
  local session = new_session(keys, args)
  local replies, n, frames, at = {}, 0, args[1], 1
  while at <= #frames do
    local kind, c, size, next = unpack_bytes(HEAD, frames, at)
    n = n + 1
    replies[n] = JUDGES[kind](session, frames, next, session.commons[c] or common_of(session, c))
    at = next + size
  end
  write_all(session)
  return replies
end

redis.register_function('claim_' .. VERSION, claim)
