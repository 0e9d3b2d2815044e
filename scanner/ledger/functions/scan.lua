-- A scan: the code is claimed once and for ever, with what it wins.
--
-- Claim record (scanner/ledger/records.py), under claims:<lot>:<serial / 64>, field <serial mod 64>.
-- Share (hash), under share:<scan_id>: giver → member, at → ms; friend's digest → claim record
--
-- Frame after its head (see claim), big-endian; k is an index into KEYS:
--   claims k:2 | serial:4 | member digest:8 | details digest:8 | what is said, length:2 and its bytes
--   | tries, two keys of k:2, where the lot asks for PINs | terms | a draw for each pool (see prizes)
-- What is said are the names and values of the entry's other fields, the member's name and value first, as strings of
-- MessagePack: cmsgpack puts them where the command wants them, in one step and without a table.

local SCAN = '>I2I4c16I2c0'
local MEMBER_BYTES, BUCKET_SERIALS = 8, 64

-- Takes the member's oldest packet of a pool out of the wallet; its prize is won now. Returns its item.
local function unlock(session, extras, rule, terms, common, field)
  local wallet = terms.wallet
  local _, _, prize_no, amount = unpack_bytes(PACKET, wallet.packets[field])
  drop_packet(wallet, field)
  local grant, prize = string.sub(field, #tostring(rule.no) + 2), rule.by_prize[prize_no]
  if prize.chance then
    win_chances(prize, wallet)
  end
  extras.unlocked = listed(extras.unlocked, '"' .. grant .. '"')
  call_later(session, 'ZREM', session.keys[common.expiries_k], expiry_of(common.campaign.id, rule, grant, wallet))
  return item_of(prize, amount)
end

-- What a pool asks for that is not just drawn from by everybody. Returns what is won without a draw, as items, or nil
-- where a draw follows.
local function enters(session, extras, rule, terms, common)
  if rule.draw == 'shared' then
    extras.share = rule.id
    return string.char(0, 2, rule.no)
  end
  local packet = rule.draw == 'locked' and oldest_packet(terms.wallet, rule.no, session.now)
  if rule.draw == 'locked' and not packet then
    return ''
  end
  if rule.limited then
    if not may_count(terms, rule.no, rule) then
      return ''
    end
    count_once(terms, rule.no, common.plan)
  end
  return packet and unlock(session, extras, rule, terms, common, packet)
end

-- Draws from all pools. Returns the items that are won, and what else the entry says, or nil.
local function win_all(session, common, terms, frames, next)
  local rules, pools, budget = common.rules, common.pools, common.budget
  local items, extras = '', nil
  for i = 1, #rules do
    local rule, u, v, won = rules[i], nil, nil, nil
    if rule.lucky then
      u, v, next = unpack_bytes(U_AND_V, frames, next)
    else
      u, next = unpack_bytes(U, frames, next)
    end
    if rule.is_special then
      extras = extras or {}
      won = enters(session, extras, rule, terms, common)
    end
    if not won then
      local prize, amount = draw(rule, pools[i], budget, u, v)
      if prize then
        won = prize.max and item_of(prize, amount) or prize.item
        if prize.chance then
          win_chances(prize, terms.wallet)
        end
      elseif amount then
        extras = extras or {}
        extras.withheld = listed(extras.withheld, amount.name)
      end
    end
    items = won and items .. won or items
  end
  return items, extras
end

-- A shared packet is opened with the scan.
local function open_share(session, terms, said)
  local _, giver = unpack_said(said)
  call_later(session, 'HSET', session.keys[terms.share_k], 'giver', giver, 'at', session.at)
  session.shares[terms.share_k] = { giver = giver, at = session.now, records = {}, count = 0 }
end

-- The entry of an accepted scan, straight from its parts: a table in between would cost more than the rest.
local function add_scan(session, said, common, told, extras)
  local lot, campaign = common.lot, common.campaign
  if extras then
    local entry = { 'XADD', session.events, '*', 'type', 'scan.accepted', 'at', session.at, 'campaign', campaign.id,
      'product', lot.product, 'lot', lot.no, 'rules', campaign.version, 'awards', told.awards,
      unpack_said(said) }
    put_lists(entry, told, extras)
    call(unpack(entry))
  elseif told.blanks then
    call('XADD', session.events, '*', 'type', 'scan.accepted', 'at', session.at, 'campaign', campaign.id,
      'product', lot.product, 'lot', lot.no, 'rules', campaign.version, 'awards', told.awards,
      'blanks', told.blanks, unpack_said(said))
  else
    call('XADD', session.events, '*', 'type', 'scan.accepted', 'at', session.at, 'campaign', campaign.id,
      'product', lot.product, 'lot', lot.no, 'rules', campaign.version, 'awards', told.awards,
      unpack_said(said))
  end
end

local function is_active(lot, serial)
  for _, range in ipairs(lot.ranges) do
    if serial >= range[1] and serial <= range[2] then
      return true
    end
  end
  return false
end

-- Whether wrong PINs make this one wait: the verdict then, else nothing and the member's tries.
local function read_wait(session, frames, next)
  local code, member = tries_at(session, frames, next)
  if not code then
    return 'Y'
  end
  local until_ms = math.max(code.until_ms, member.until_ms)
  if session.now < until_ms then
    return 'W' .. pack_bytes('>I6', until_ms)
  end
  return nil, member
end

-- Whether a code that nobody claimed may be claimed now. Returns nil, the terms and where the draws begin; or the
-- verdict.
local function judge_free(session, frames, next, common, serial)
  local lot, tries = common.lot, nil
  if common.pinned then
    local verdict
    verdict, tries = read_wait(session, frames, next)
    if verdict then
      return verdict
    end
    next = next + TRIES_BYTES
  end
  if lot.state == 'blocked' then
    return 'B'
  end
  if not is_active(lot, serial) then
    return 'N'
  end
  if common.verdict then
    return common.verdict
  end
  local plan, terms = common.plan, NO_TERMS
  if plan.has_terms then
    terms, next = read_terms(session, frames, next, plan)
    if not terms then
      return next
    end
  end
  if not common.ready or not common.rules then
    return 'Y'
  end
  if plan.is_limited then
    local may, resets_at = may_count(terms, 0, plan)
    if not may then
      return limit_reached(resets_at)
    end
    count_once(terms, 0, plan)
  end
  if tries then
    forgive_try(tries)
  end
  return nil, terms, next
end

-- The answer to a code that was claimed before.
local function claimed_before(record, who)
  if type(record) ~= 'string' or #record < RECORD_BYTES_MIN then
    return 'Y'
  end
  if string.sub(record, 9, 16) == string.sub(who, 1, MEMBER_BYTES) then
    return 'R' .. record
  end
  return 'C' .. string.sub(record, 1, 6)
end

local function judge_scan(session, frames, at, common)
  local lot = common.lot
  if not lot then
    return 'Y'
  end
  local claims_k, serial, who, said, next = unpack_bytes(SCAN, frames, at)
  local slot = serial % BUCKET_SERIALS
  local place, key = claims_k * BUCKET_SERIALS + slot, session.keys[claims_k]
  local record = session.records[place] or try('HGET', key, slot)
  if record then
    return claimed_before(record, who)
  end
  local terms, verdict = NO_TERMS, nil
  if not (common.is_plain and serial >= lot.from and serial <= lot.to) then
    verdict, terms, next = judge_free(session, frames, next, common, serial)
    if verdict then
      return verdict
    end
  end
  local items, extras = win_all(session, common, terms, frames, next)
  record = common.campaign.head .. who .. items
  if extras and extras.share then
    open_share(session, terms, said)
  end
  local told = common.plan.told[items] or told_of(common.plan, items)
  accept(session, place, key, slot, record, said, common, told, extras)
  return 'A' .. record
end
