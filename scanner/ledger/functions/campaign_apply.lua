-- campaign_apply: a campaign file takes force, and its pools are filled. The caller has judged the change
-- against the version it read; this function makes sure that nothing moved in between.
--
-- Campaign (hash):
--   no       1 … 65535, what claim records call it
--   version  of the file in force
--   starts   ms since 1970
--   ends     ms since 1970; the last moment that belongs to it
--   file     the file, canonical JSON
--   plan     the file compiled for the claim function, JSON (scanner/campaigns/plan.py)
--   paused   1 while it is paused, else absent
-- Pool and budget (hashes): see prizes
--
-- KEYS  events, directory, campaign, budget, pool …
-- ARGV  by, campaign id, number, version that was read ('' for none), 1 if it was judged to have started,
--       new version, starts, ends, file, plan,
--       stock: JSON array of {pool: index among the pool keys, prize, set: n or "*"} or {pool, prize, add: n}
--       money: JSON array of {name, set: n}, {name, add: n} or {name, lift: true}, of the budgets
-- A campaign that has not started is filled anew, because nothing can have been drawn from it.
local POOLS_BEFORE = 4

local function campaign_apply(keys, args)
  local events, directory, campaign, budget = keys[1], keys[2], keys[3], keys[4]
  local by, id, no, seen, started, version, starts, ends, file, plan, stock, money = unpack(args)
  local now = now_ms()
  local current, current_starts = unpack(read('HMGET', campaign, 'version', 'starts') or {})
  if (current or '') ~= seen or (current and (tonumber(current_starts) <= now) ~= (started == '1')) then
    return refuse('campaign ' .. id .. ' changed meanwhile: apply again')
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  stock, money = cjson.decode(stock), cjson.decode(money)
  local writes = {}
  for i, step in ipairs(stock) do
    local key = keys[POOLS_BEFORE + step.pool]
    local amount = step.set
    if step.add then
      local remain = tonumber(read('HGET', key, step.prize))
      if not remain then
        return refuse('pool key ' .. key .. ' has no stock of ' .. step.prize .. ' to add to')
      end
      amount = remain + step.add
    end
    writes[i] = { key, step.prize, amount == '*' and '*' or integer(amount) }
  end
  for i = POOLS_BEFORE, #keys do
    if started == '1' and not read('HLEN', keys[i]) then
      return refuse('key ' .. keys[i] .. ' is not a hash')
    end
  end
  local lifted = {}
  for _, step in ipairs(money) do
    local left = step.set
    if step.add then
      local before = tonumber(read('HGET', budget, step.name))
      if not before then
        return refuse('campaign ' .. id .. ' has no budget ' .. step.name .. ' to add to')
      end
      left = before + step.add
    end
    if step.lift then
      lifted[#lifted + 1] = step.name
    else
      writes[#writes + 1] = { budget, step.name, integer(left) }
    end
  end
  if started ~= '1' then
    for i = POOLS_BEFORE, #keys do
      redis.call('DEL', keys[i])
    end
  end
  for _, write in ipairs(writes) do
    redis.call('HSET', unpack(write))
  end
  for _, name in ipairs(lifted) do
    redis.call('HDEL', budget, name)
  end
  redis.call('HSET', campaign, 'no', no, 'version', version, 'starts', starts, 'ends', ends,
    'file', file, 'plan', plan)
  change(events, directory, 'campaign:' .. id, 'type', 'campaign.applied', 'at', integer(now), 'by', by,
    'campaign', id, 'no', no, 'rules', version, 'file', file)
  return 1
end

redis.register_function('campaign_apply_' .. VERSION, campaign_apply)
