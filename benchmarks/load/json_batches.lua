-- JSON batches on /ez. KEY, STATS, ROWS.
local parts = {}
for i = 1, tonumber(os.getenv("ROWS")) do
  parts[i] = '{"stat":"requests.' .. (i % tonumber(os.getenv("STATS"))) .. '","count":1}'
end
local body = '{"ezkey":"' .. os.getenv("KEY") .. '","data":[' .. table.concat(parts, ",") .. "]}"
local whole
request = function()
  whole = whole or wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, body)
  return whole
end
