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

-- The next of n amounts between low and high that add up to money. Every number stays below 2^53 where it counts:
-- n·low is at most the money, and where n·high is too large to be exact, the other distance is the smaller one.
local function lucky_amount(n, money, low, high, v)
  local width = math.min(money - n * low, n * high - money)
  local from = math.max(math.ceil((money - width) / n), low, money - (n - 1) * high)
  local to = math.min(math.floor((money + width) / n), high, money - (n - 1) * low)
  return from + v % (to - from + 1)
end

-- Draws from a pool: finds the prize that u in [0, 2^48) points at, and takes it out of the pool and of the budgets.
-- Returns the prize and its amount where that was drawn (else 0); or nil, and the prize that no budget had room for.
-- Longer than others, because it runs for every pool of every scan, and a call costs as much as ten lines.
local function draw(rule, pool, budget, u, v)
  local remain, prizes, ids, prize = pool.remain, rule.prizes, rule.ids, nil
  if rule.draw == 'odds' then
    for i = 1, #ids do
      if u < prizes[i].below then
        prize = remain[ids[i]] > 0 and prizes[i]
        break
      end
    end
  elseif rule.draw == 'every' then
    for i = 1, #ids do
      if remain[ids[i]] > 0 then
        prize = prizes[i]
        break
      end
    end
  elseif pool.total > 0 then
    local rest = u % pool.total
    for i = 1, #ids do
      rest = rest - remain[ids[i]]
      if rest < 0 then
        prize = prizes[i]
        break
      end
    end
  end
  if not prize then
    return nil
  end
  local id, amount = prize.id, 0
  if prize.max then
    amount = lucky_amount(remain[id], pool.money[id], prize.min, prize.max, v)
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
  remain[id] = remain[id] - 1
  pool.total = pool.total - 1
  pool.taken[id] = true
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
    call('HSET', pool.key, unpack(fields))
  end
end

local function write_budget(budget)
  local fields, n = {}, 0
  for name, left in pairs(budget.left) do
    fields[n + 1], fields[n + 2], n = name, integer(left), n + 2
  end
  call('HSET', budget.key, unpack(fields))
end

local function listed(list, item)
  return list and list .. ',' .. item or item
end

-- What was won grows as the items of the claim record, and everything else is told from them: one string, and for
-- most claims one that stands there already.
local function item_of(prize, amount)
  return prize.max and prize.item .. pack_bytes('>I1I1I6', 0, 1, amount) or prize.item
end

-- What the event says of items: the awards, and the blanks or nil, as JSON.
local function tell(plan, items)
  local awards, blanks, at = {}, nil, 1
  while at < #items do
    local first, second = string.byte(items, at, at + 1)
    at = at + 2
    if first > 0 then
      local prize = plan.by_no[first].by_prize[second]
      local award = prize.award
      if prize.max then
        award = award .. integer((unpack_bytes('>I6', items, at + 2))) .. prize.tail
        at = at + 8
      end
      if award == '' then
        blanks = listed(blanks, prize.name)
      else
        awards[#awards + 1] = award
      end
    else
      at = at + 1  -- a packet that was opened for friends
    end
  end
  return { awards = '[' .. table.concat(awards, ',') .. ']', blanks = blanks and '[' .. blanks .. ']' }
end

-- The same through the plan's cache. Drawn amounts are rarely the same twice, and would only fill it.
local ITEMS_KEPT_MAX = 16

local function told_of(plan, items)
  local told = plan.told[items] or tell(plan, items)
  if not plan.told[items] and not plan.lucky and #items <= ITEMS_KEPT_MAX then
    if told_count == TOLD_MAX then
      plans, plans_count, told_count = {}, 0, 0
    end
    plan.told[items], told_count = told, told_count + 1
  end
  return told
end

-- Adds what was told, and the entry's other lists, to an entry of the stream.
local function put_lists(entry, told, extras)
  local n = #entry
  if told.blanks then
    entry[n + 1], entry[n + 2], n = 'blanks', told.blanks, n + 2
  end
  if extras.withheld then
    entry[n + 1], entry[n + 2], n = 'withheld', '[' .. extras.withheld .. ']', n + 2
  end
  if extras.unlocked then
    entry[n + 1], entry[n + 2], n = 'unlocked', '[' .. extras.unlocked .. ']', n + 2
  end
  if extras.share then
    entry[n + 1], entry[n + 2] = 'share', extras.share
  end
end

-- The draw of a pool, as a frame has it: u:6, and v:6 where the pool has lucky amounts. Returns both and where the
-- frame goes on.
local U, U_AND_V = '>I6', '>I6I6'

local function read_draw(rule, frames, at)
  if rule.lucky then
    return unpack_bytes(U_AND_V, frames, at)
  end
  local u, next = unpack_bytes(U, frames, at)
  return u, nil, next
end
