-- Locked packets that were never unlocked go back where they came from.
--
-- Expiries (sorted set): <campaign>/<pool>/<grant id>/<member> of each locked packet, by the ms at which it expires
--
-- Frame after its head (see claim), big-endian; kind 5, no common:
--   wallet k:2 | campaign k:2 | pool k:2 | budget k:2, 0 for none | expiries k:2 | pool number:1
--   | field of the wallet, length:2 and its bytes | expiry, length:2 and its bytes
-- Verdict: D done, or done before; T with now:6 where it has not expired; Y not ready

local function judge_expiry(session, frames, at)
  local wallet_k, campaign_k, pool_k, budget_k, expiries_k, no, field, expiry =
    unpack_bytes('>I2I2I2I2I2I1I2c0I2c0', frames, at)
  local wallet = once(session.wallets, session, wallet_k, read_wallet)
  local campaign = once(session.campaigns, session, campaign_k, read_campaign)
  local pool = once(session.pools, session, pool_k, read_pool)
  local budget = budget_k > 0 and once(session.budgets, session, budget_k, read_budget) or nil
  local rule = campaign and campaign.plan.by_no[no]
  local expiries = once(session.written, session, expiries_k, read_expiries)
  if not session.ready or not wallet or not pool or not rule or not expiries then
    return 'Y'
  end
  -- Budgets may have been lifted, or come with new pools, since the worker looked; one that this prize was taken
  -- out of must be there.
  if (budget_k > 0 and not budget) or ((campaign.plan.budget or rule.budget)
    and not (budget and has_all_budgets(budget, campaign.plan))) then
    return 'Y'
  end
  local packet = wallet.packets[field]
  if not packet then
    call_later(session, 'ZREM', session.keys[expiries_k], expiry)
    return 'D'
  end
  local _, expires, prize_no, amount, next = unpack_bytes(PACKET, packet)
  local prize = rule.by_prize[prize_no]
  if session.now < expires then
    return 'T' .. pack_bytes('>I6', session.now)
  end
  if not prize or not is_complete(rule, pool) then
    return 'Y'
  end
  give_back(rule, pool, budget, prize, amount)
  drop_packet(wallet, field)
  call_later(session, 'ZREM', session.keys[expiries_k], expiry)
  local entry = { 'XADD', session.events, '*', 'type', 'grant.expired', 'at', session.at,
    'id', string.sub(field, #tostring(no) + 2), 'campaign', campaign.id, 'pool', rule.id,
    'member', string.sub(packet, next), 'prize', prize.id }
  if prize.max then
    entry[#entry + 1], entry[#entry + 2] = 'amount', integer(amount)
  end
  happen(session, entry)
  return 'D'
end
