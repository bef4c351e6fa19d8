-- Title: markout cost by horizon and side
-- Unit: bps; + is a cost
-- Formula: -1e4 * sum g / sum V, g = s q (v(m_{t+h}) - v(mf)), V = q |v(p)|, over the fills with both mids. Standard
--   error of that ratio, fills taken as independent: 1e4 * sqrt(n / (n - 1) * sum (g - V sum g / sum V)^2) / sum V
-- Grain: lane, horizon_s, side (buy, sell, both)
-- Inputs: core_fill_value, core_markout, core_value, core_horizon
-- NULL: numerator and denominator without a markout; stderr_bps below two. `missing`: fills that have none
WITH marked AS (
    SELECT
        f.lane,
        h.horizon_s,
        CASE WHEN f.side_sign > 0 THEN 'buy' ELSE 'sell' END AS side,
        CASE WHEN NOT f.stale THEN f.signed_lots * (x.v - f.v_fill) END AS gained,
        f.notional
    FROM core_fill_value AS f
    CROSS JOIN core_horizon AS h
    LEFT JOIN core_markout AS m ON m.seq = f.seq AND m.horizon_s = h.horizon_s
    LEFT JOIN core_value AS x ON x.price = m.mid
),

sided AS (
    SELECT * FROM marked
    UNION ALL
    SELECT lane, horizon_s, 'both', gained, notional FROM marked
),

summed AS (
    SELECT
        lane, horizon_s, side, count(gained) AS n, count(*) - count(gained) AS missing,
        sum(gained) AS gained, sum(notional) FILTER (WHERE gained IS NOT NULL) AS notional
    FROM sided
    GROUP BY lane, horizon_s, side
),

spread AS (
    SELECT
        a.lane, a.horizon_s, a.side,
        fsum(power(a.gained::DOUBLE - a.notional::DOUBLE * (s.gained::DOUBLE / s.notional::DOUBLE), 2)) AS squares
    FROM sided AS a
    JOIN summed AS s ON s.lane = a.lane AND s.horizon_s = a.horizon_s AND s.side = a.side
    WHERE a.gained IS NOT NULL
    GROUP BY a.lane, a.horizon_s, a.side
)

SELECT
    s.lane,
    s.horizon_s,
    s.side,
    s.n,
    s.missing,
    -10000 * s.gained AS numerator,
    s.notional AS denominator,
    CASE WHEN s.n > 1 THEN 1e4 * sqrt(q.squares * s.n / (s.n - 1)) / s.notional::DOUBLE END AS stderr_bps
FROM summed AS s
LEFT JOIN spread AS q ON q.lane = s.lane AND q.horizon_s = s.horizon_s AND q.side = s.side
