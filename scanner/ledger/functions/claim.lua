-- claim: a batch of claims of every kind. Each is judged on what was read and on what those before it in the batch
-- have taken; then everything is written.
--
-- KEYS  events, then every key that the frames name, once each
-- ARGV  one frame a claim; its first byte is its kind: see scan, request, share, packet, tries
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

local function write_touched(cache, write)
  for _, value in pairs(cache) do
    if value and value.touched then
      write(value)
    end
  end
end

local function write_all(session)
  local accepted = session.accepted
  for i = 1, #accepted, 4 do
    if accepted[i] then
      redis.call('HSET', accepted[i], accepted[i + 1], accepted[i + 2])
    end
    redis.call(unpack(accepted[i + 3]))
  end
  for _, command in ipairs(session.calls) do
    redis.call(unpack(command))
  end
  write_touched(session.pools, write_pool)
  write_touched(session.budgets, write_budget)
  write_touched(session.counts, write_counts)
  write_touched(session.wallets, write_wallet)
  write_touched(session.tries, write_tries)
end

local function claim(keys, frames)
  local session = new_session(keys)
  local replies = {}
  for i, frame in ipairs(frames) do
    replies[i] = JUDGES[string.byte(frame)](session, frame)
  end
  write_all(session)
  return replies
end

redis.register_function('claim_' .. VERSION, claim)
