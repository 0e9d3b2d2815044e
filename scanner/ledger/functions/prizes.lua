-- Pools, budgets and draws (docs/prizes.md; the reference draw is scanner/campaigns/draw.py).
--
-- Pool (hash): prize id → how many remain, or * for no limit; <prize id>:money → the money left for lucky amounts
-- Budget (hash): pool id, or * for the campaign → the money left, in minor units

local MONEY = ':money'

local function read_pool(key)
  local flat = read('HGETALL', key)
  if not flat or #flat == 0 then
    return nil
  end
  local pool = { key = key, remain = {}, money = {}, taken = {}, total = 0 }
  for i = 1, #flat, 2 do
    local name = flat[i]
    local remain = flat[i + 1] == '*' and math.huge or tonumber(flat[i + 1])
    if not remain then
      return nil
    end
    if string.sub(name, -#MONEY) == MONEY then
      pool.money[string.sub(name, 1, -#MONEY - 1)] = remain
    else
      pool.remain[name] = remain
      pool.total = pool.total + remain
    end
  end
  return pool
end

local function read_budget(key)
  local flat = read('HGETALL', key)
  if not flat then
    return nil
  end
  local budget = { key = key, left = {} }
  for i = 1, #flat, 2 do
    local left = tonumber(flat[i + 1])
    if not left then
      return nil
    end
    budget.left[flat[i]] = left
  end
  return budget
end

-- Whether every budget of the plan is there. Judged once a batch.
local function has_all_budgets(budget, plan)
  if budget.complete_for ~= plan then
    if plan.budget and not budget.left['*'] then
      return false
    end
    for _, pool in ipairs(plan.pools) do
      if pool.budget and not budget.left[pool.id] then
        return false
      end
    end
    budget.complete_for = plan
  end
  return true
end

-- Whether every prize of the plan has its stock in the pool's hash. Judged once a batch.
local function is_complete(rule, pool)
  for _, prize in ipairs(rule.prizes) do
    if not pool.remain[prize.id] or (prize.max and not pool.money[prize.id]) then
      return false
    end
  end
  pool.complete_for = rule
  return true
end

-- The prize that the draw u in [0, 2^48) points at, or nil.
local function pointed_at(rule, pool, u)
  local remain, prizes = pool.remain, rule.prizes
  if rule.draw == 'odds' then
    for i = 1, #prizes do
      local prize = prizes[i]
      if u < prize.below then
        return remain[prize.id] > 0 and prize or nil
      end
    end
  elseif rule.draw == 'every' then
    for i = 1, #prizes do
      local prize = prizes[i]
      if remain[prize.id] > 0 then
        return prize
      end
    end
  elseif pool.total > 0 then
    local rest = u % pool.total
    for i = 1, #prizes do
      local prize = prizes[i]
      rest = rest - remain[prize.id]
      if rest < 0 then
        return prize
      end
    end
  end
  return nil
end

-- The next of n amounts between low and high that add up to money. Every number stays below 2^53 where it counts:
-- n·low is at most the money, and where n·high is too large to be exact, the other distance is the smaller one.
local function lucky_amount(n, money, low, high, v)
  local width = math.min(money - n * low, n * high - money)
  local from = math.max(math.ceil((money - width) / n), low, money - (n - 1) * high)
  local to = math.min(math.floor((money + width) / n), high, money - (n - 1) * low)
  return from + v % (to - from + 1)
end

-- Draws from a pool and takes what was drawn out of it and of the budgets. Returns the prize and its amount where
-- that was drawn (else 0); or nil, and the prize that no budget had room for.
local function draw(rule, pool, budget, u, v)
  local prize = pointed_at(rule, pool, u)
  if not prize then
    return nil
  end
  local id, amount = prize.id, 0
  if prize.max then
    amount = lucky_amount(pool.remain[id], pool.money[id], prize.min, prize.max, v)
  end
  if budget then
    local worth = prize.max and amount or prize.worth
    if worth then
      local left = budget.left
      if worth > (left[rule.id] or worth) or worth > (left['*'] or worth) then
        return nil, prize
      end
      left[rule.id] = left[rule.id] and left[rule.id] - worth
      left['*'] = left['*'] and left['*'] - worth
      budget.touched = true
    end
  end
  if prize.max then
    pool.money[id] = pool.money[id] - amount
  end
  pool.remain[id] = pool.remain[id] - 1
  pool.total = pool.total - 1
  pool.taken[id] = true
  pool.touched = true
  return prize, amount
end

-- Puts a prize that was drawn back where it came from.
local function give_back(rule, pool, budget, prize, amount)
  local id = prize.id
  pool.remain[id] = pool.remain[id] + 1
  pool.total = pool.total + 1
  if prize.max then
    pool.money[id] = pool.money[id] + amount
  end
  pool.taken[id] = true
  pool.touched = true
  local worth = prize.max and amount or prize.worth
  if budget and worth then
    local left = budget.left
    left[rule.id] = left[rule.id] and left[rule.id] + worth
    left['*'] = left['*'] and left['*'] + worth
    budget.touched = next(left) ~= nil  -- they may have been lifted since
  end
end

local function write_pool(pool)
  local fields, n = {}, 0
  for id in pairs(pool.taken) do
    if pool.remain[id] < math.huge then
      fields[n + 1], fields[n + 2], n = id, integer(pool.remain[id]), n + 2
    end
    if pool.money[id] then
      fields[n + 1], fields[n + 2], n = id .. MONEY, integer(pool.money[id]), n + 2
    end
  end
  if n > 0 then
    redis.call('HSET', pool.key, unpack(fields))
  end
end

local function write_budget(budget)
  local fields, n = {}, 0
  for name, left in pairs(budget.left) do
    fields[n + 1], fields[n + 2], n = name, integer(left), n + 2
  end
  redis.call('HSET', budget.key, unpack(fields))
end

-- What was won, as it grows: the awards, one by one; the items of the claim record; the other lists of the event.
-- The session's own are written over by every claim; `winnings` may be another table.
local function no_winnings(winnings)
  for i = #winnings, 1, -1 do
    winnings[i] = nil
  end
  winnings.items, winnings.blanks, winnings.withheld, winnings.unlocked, winnings.share = '', nil, nil, nil, nil
  return winnings
end

local function listed(list, item)
  return list and list .. ',' .. item or item
end

local function win(winnings, rule, prize, amount)
  winnings.items = winnings.items .. prize.item
  if prize.max then
    winnings.items = winnings.items .. struct.pack('>I1I1I6', 0, 1, amount)
  end
  local award = prize.award
  if award == '' then
    winnings.blanks = listed(winnings.blanks, '"' .. rule.id .. '/' .. prize.id .. '"')
    return
  end
  if prize.tail then
    award = award .. integer(amount) .. prize.tail
  end
  winnings[#winnings + 1] = award
end

local function withhold(winnings, rule, prize)
  winnings.withheld = listed(winnings.withheld, '"' .. rule.id .. '/' .. prize.id .. '"')
end

local function awards_of(winnings)
  return '[' .. table.concat(winnings, ',') .. ']'
end

-- Adds the other lists to an entry of the stream, which has n elements. Returns how many it has then.
local function put_lists(entry, n, winnings)
  if winnings.blanks then
    entry[n + 1], entry[n + 2], n = 'blanks', '[' .. winnings.blanks .. ']', n + 2
  end
  if winnings.withheld then
    entry[n + 1], entry[n + 2], n = 'withheld', '[' .. winnings.withheld .. ']', n + 2
  end
  if winnings.unlocked then
    entry[n + 1], entry[n + 2], n = 'unlocked', '[' .. winnings.unlocked .. ']', n + 2
  end
  return n
end

-- The pools that a claim enters, as its frame lists them: first {pool k:2, pool number:1, u:6} …, then v:6 for each
-- that has lucky amounts. Returns the rules and pools, the list with u at every third place, and the vs; nil where a
-- pool is not ready. Nothing is taken yet.
local entered_formats = {}

local function read_entered(session, frame, next, count, plan)
  local format = entered_formats[count]
  if not format then
    format = '>' .. string.rep('I2I1I6', count)
    entered_formats[count] = format
  end
  local rules, pools, vs = session.rules, session.entered, session.vs
  local by_no, cache = plan.by_no, session.pools
  local listed_pools = { struct.unpack(format, frame, next) }
  next = listed_pools[3 * count + 1]
  for i = 1, count do
    local k, rule = listed_pools[3 * i - 2], by_no[listed_pools[3 * i - 1]]
    local pool = cache[k]
    if pool == nil then
      pool = once(cache, session, k, read_pool)
    end
    if not pool or not rule or (pool.complete_for ~= rule and not is_complete(rule, pool)) then
      return nil
    end
    if rule.lucky then
      vs[i], next = struct.unpack('>I6', frame, next)
    end
    rules[i], pools[i] = rule, pool
  end
  return rules, pools, listed_pools, vs
end
