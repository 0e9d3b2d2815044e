-- What many claims of a batch have in common: the campaign, the lot, and the pools that they enter. It is sent and
-- judged once a batch, and the claims' frames name it.
--
-- Common, big-endian; k is an index into KEYS, 0 for none:
--   campaign k:2 | lot k:2 | budget k:2 | expiries k:2 | flags:1 | version:16 | seller, length:2 and its bytes
--   | {pool k:2, pool number:1} …
-- Flags: 1 the rules were judged for this seller of the lot, '' for none; 2 the lot asks for PINs

local COMMON, POOL_ENTERED, POOL_ENTERED_BYTES = '>I2I2I2I2I1c16I2c0', '>I2I1', 3
local SELLER_IS_LOTS, PINNED = 1, 2

-- The rules and the pools; nil where one is not ready.
local function read_entered(session, text, at, plan)
  local rules, pools, n = {}, {}, 0
  while at <= #text do
    local k, no = unpack_bytes(POOL_ENTERED, text, at)
    local rule, pool = plan.by_no[no], once(session.pools, session, k, read_pool)
    if not pool or not rule or (pool.complete_for ~= rule and not is_complete(rule, pool)) then
      return nil
    end
    n, at = n + 1, at + POOL_ENTERED_BYTES
    rules[n], pools[n] = rule, pool
  end
  return rules, pools
end

-- Returns the lot (nil: not ready), the campaign where it is in force, else the verdict; whether what is kept can be
-- written; the rules and the pools, nil where they are not ready. In a plain one nothing but the draws is asked of a
-- code that is active.
local function read_common(session, text)
  local campaign_k, lot_k, budget_k, expiries_k, flags, version, seller, next = unpack_bytes(COMMON, text)
  local common = { pinned = flags >= PINNED, ready = true, expiries_k = expiries_k }
  local lot = lot_k > 0 and session.ready and once(session.lots, session, lot_k, read_lot) or nil
  local campaign, verdict = in_force(session, campaign_k, version, lot and lot.campaign)
  -- The lot's seller may have changed since the worker looked: then the rules were judged for another one.
  if campaign and lot and flags % PINNED == SELLER_IS_LOTS and seller ~= lot.seller then
    campaign, verdict = nil, 'X'
  end
  common.lot, common.campaign, common.verdict = lot, campaign, verdict
  if not campaign then
    return common
  end
  common.plan = campaign.plan
  if budget_k > 0 then
    common.budget = once(session.budgets, session, budget_k, read_budget)
    common.ready = common.budget and has_all_budgets(common.budget, campaign.plan)
  end
  if expiries_k > 0 then
    common.ready = common.ready and once(session.written, session, expiries_k, read_expiries)
  end
  common.rules, common.pools = read_entered(session, text, next, campaign.plan)
  common.is_plain = lot and lot.state ~= 'blocked' and not common.pinned and common.ready and common.rules
    and not campaign.plan.has_terms
  return common
end

-- The common of this index; nil of 0.
local function common_of(session, c)
  if c > 0 then
    session.commons[c] = read_common(session, session.args[c + 1])
  end
  return session.commons[c]
end
