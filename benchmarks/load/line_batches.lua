-- Batches of InfluxDB lines without times, from a few bodies made beforehand, so that wrk costs the same as for ours.
local parts = {}
for i = 1, tonumber(os.getenv("ROWS")) do
  parts[i] = "requests,stat=" .. (i % tonumber(os.getenv("STATS"))) .. " count=1 " .. string.format("%d", 1700000000000000000 + i * 1000)
end
local body, whole = table.concat(parts, "\n"), nil
request = function()
  whole = whole or wrk.format("POST", nil, {}, body)
  return whole
end
