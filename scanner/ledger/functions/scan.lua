-- A scan: the code is claimed once and for ever, with what it wins.
--
-- Claim record (scanner/ledger/records.py), under claims:<lot>:<serial / 64>, field <serial mod 64>.
-- Share (hash), under share:<scan_id>: giver → member, at → ms; friend's digest → claim record
--
-- Frame, big-endian; k is an index into KEYS:
--   kind:1 = 1 | claims k:2 | campaign k:2 | lot k:2 | slot:1 | serial:4 | member digest:8 | details digest:8
--   | version:16 | flags:1 | pools:1 | said:1 | id | member | serial | what is said | tries (flag 2) | terms
--   | pools (see prizes)
-- The id, the member, the serial as text, and what is said, which is names and values of the entry's other fields,
-- first the seller's where there is one: each length:2 and its bytes.
-- Flags: 1 the seller is the one the lot is assigned to; 2 the lot asks for PINs: two keys of tries, k:2 each;
-- 4 there is a seller

local SCAN = '>I2I2I2I1I4c8c8c16I1I1I1I2c0I2c0I2c0'
-- Where the entry has its awards and what is said.
local AWARDS_AT, MEMBER_AT, SAID_FROM, SELLER_AT = 17, 21, 24, 25
local NO_AWARDS_YET = ''
local SELLER_IS_LOTS, PINNED, HAS_SELLER = 1, 2, 4

-- Takes the member's oldest packet of a pool out of the wallet; its prize is won now.
local function unlock(session, winnings, rule, terms, campaign, field)
  local wallet = terms.wallet
  local _, _, prize_no, amount = struct.unpack(PACKET, wallet.packets[field])
  drop_packet(wallet, field)
  local grant, prize = string.sub(field, #tostring(rule.no) + 2), rule.by_prize[prize_no]
  win_for(winnings, rule, prize, amount, wallet)
  winnings.unlocked = listed(winnings.unlocked, '"' .. grant .. '"')
  call_later(session, 'ZREM', session.keys[terms.expiries_k], expiry_of(campaign.id, rule, grant, wallet))
end

-- What a pool asks for that is not just drawn from by everybody. Returns whether a draw follows.
local function enters(session, winnings, rule, terms, campaign)
  if rule.draw == 'shared' then
    winnings.items = winnings.items .. string.char(0, 2, rule.no)
    winnings.share = rule.id
    return false
  end
  local packet = rule.draw == 'locked' and oldest_packet(terms.wallet, rule.no, session.now)
  if rule.draw == 'locked' and not packet then
    return false
  end
  if rule.limited then
    if not may_count(terms, rule.no, rule) then
      return false
    end
    count_once(terms, rule.no, campaign.plan)
  end
  if packet then
    unlock(session, winnings, rule, terms, campaign, packet)
  end
  return not packet
end

local function win_all(session, winnings, count, rules, pools, us, vs, terms, campaign)
  local budget = terms.budget
  for i = 1, count do
    local rule = rules[i]
    if not rule.is_special or enters(session, winnings, rule, terms, campaign) then
      local prize, amount = draw(rule, pools[i], budget, us[3 * i], vs[i])
      if prize then
        win_for(winnings, rule, prize, amount, terms.wallet)
      elseif amount then
        withhold(winnings, rule, amount)
      end
    end
  end
end

-- The claim record, and everything that is written with it. The entry has n elements so far.
local function accept_scan(session, place, key, slot, head, entry, n, terms, winnings)
  local record = head .. winnings.items
  entry[AWARDS_AT] = awards_of(winnings)
  n = put_lists(entry, n, winnings)
  if winnings.share then
    entry[n + 1], entry[n + 2] = 'share', winnings.share
    local giver = entry[MEMBER_AT]
    call_later(session, 'HSET', session.keys[terms.share_k], 'giver', giver, 'at', session.at)
    session.shares[terms.share_k] = { giver = giver, at = session.now, records = {}, count = 0 }
  end
  accept(session, place, key, slot, record, entry)
  return 'A' .. record
end

local function is_active(ranges, serial)
  for i = 1, #ranges do
    local range = ranges[i]
    if serial >= range[1] and serial <= range[2] then
      return true
    end
  end
  return false
end

-- Whether wrong PINs make this one wait: the verdict then, else nothing and the member's tries.
local function read_wait(session, frame, next)
  local code, member = tries_at(session, frame, next)
  if not code then
    return 'Y'
  end
  local until_ms = math.max(code.until_ms, member.until_ms)
  if session.now < until_ms then
    return 'W' .. struct.pack('>I6', until_ms)
  end
  return nil, member
end

-- The lot's seller may have changed since the worker looked: then the rules were judged for another one.
local function is_seller_stale(lot, flags, seller)
  if flags % 2 == SELLER_IS_LOTS then
    return seller ~= lot.seller
  end
  return flags < HAS_SELLER and lot.seller ~= ''
end

-- Longer than others, because it runs for every scan and a call costs as much as a line.
local function judge_scan(session, frame)
  local claims_k, campaign_k, lot_k, slot, serial, member, details, version, flags, count, said, id, name, text,
    next = struct.unpack(SCAN, frame, 2)
  local lot = session.lots[lot_k] or once(session.lots, session, lot_k, read_lot)
  if not lot or not session.ready then
    return 'Y'
  end
  local place, key = claims_k * 64 + slot, session.keys[claims_k]
  local record = session.records[place] or redis.pcall('HGET', key, slot)
  if record then
    if type(record) ~= 'string' or #record < RECORD_BYTES_MIN then
      return 'Y'
    end
    if string.sub(record, 9, 16) == member then
      return 'R' .. record
    end
    return 'C' .. string.sub(record, 1, 6)
  end
  local entry = { 'XADD', session.events, '*', 'type', 'scan.accepted', 'at', session.at, 'campaign', lot.campaign,
    'product', lot.product, 'lot', lot.no, 'rules', version, 'awards', NO_AWARDS_YET, 'id', id, 'member', name,
    'serial', text, struct.unpack(said_formats[said] or said_format(said), frame, next) }
  local n = SAID_FROM + said
  next, entry[n] = entry[n], nil
  local tries
  if flags % HAS_SELLER >= PINNED then
    local verdict
    verdict, tries = read_wait(session, frame, next)
    if verdict then
      return verdict
    end
    next = next + TRIES_BYTES
  end
  if lot.state == 'blocked' then
    return 'B'
  end
  if not is_active(lot.ranges, serial) then
    return 'N'
  end
  local campaign, verdict = in_force(session, campaign_k, version, lot.campaign)
  if not campaign then
    return verdict
  end
  if (flags ~= 0 or lot.seller ~= '') and is_seller_stale(lot, flags, entry[SELLER_AT]) then
    return 'X'
  end
  local plan, terms = campaign.plan, NO_TERMS
  if plan.has_terms then
    terms, next = read_terms(session, frame, next, plan)
    if not terms then
      return next
    end
  end
  local rules, pools, us, vs = read_entered(session, frame, next, count, plan)
  if not rules then
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
  local winnings = no_winnings(session.winnings)
  win_all(session, winnings, count, rules, pools, us, vs, terms, campaign)
  local head = campaign.head .. member .. details
  return accept_scan(session, place, key, slot, head, entry, n - 1, terms, winnings)
end
