"""The peers' half of benchmarks/search.py, run in their own environment: regrets as JSON on stdout.

Both are given what ours is: the value at the start, free of noise, and EVALUATIONS noisy ones. TPE recommends its
best observation; CMA-ES, which begins at the start, the mean of its distribution, better here than its best point.
Its first step of 0.15 was the best of 0.1, 0.15, 0.2 and 0.3.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import cma
import numpy as np
import optuna
from search_functions import COUNT, EVALUATIONS, Function


def tpe(function: Function) -> float:
    seed = 100 * function.repetition + function.number
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    names = [f"x{i}" for i in range(function.d)]
    space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names}
    start = dict(zip(names, function.start.tolist(), strict=True))
    study.add_trial(optuna.trial.create_trial(params=start, distributions=space, value=function.value(function.start)))
    for evaluation in range(EVALUATIONS):
        trial = study.ask(space)
        x = np.array([trial.params[name] for name in names])
        study.tell(trial, function.observe(x, evaluation))
    return function.regret(np.array([study.best_params[name] for name in names]))


def cma_es(function: Function) -> float:
    seed = 1 + 100 * function.repetition + function.number
    options = {"bounds": [0, 1], "seed": seed, "verbose": -9, "maxfevals": EVALUATIONS}
    strategy = cma.CMAEvolutionStrategy(function.start, 0.15, options)
    evaluation = 0
    while evaluation < EVALUATIONS:
        points = strategy.ask()
        if evaluation + len(points) > EVALUATIONS:
            break
        strategy.tell(points, [-function.observe(np.asarray(x), evaluation + i) for i, x in enumerate(points)])
        evaluation += len(points)
    mean = np.clip(np.asarray(strategy.result.xfavorite), 0.0, 1.0)
    return function.regret(mean)


def main() -> None:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    repetitions = int(sys.argv[1])
    out: dict[str, object] = {"optuna": optuna.__version__, "cma": cma.__version__}
    for name, method in (("tpe", tpe), ("cma_es", cma_es)):
        began = time.process_time()
        out[name] = [[method(Function(n, r)) for r in range(repetitions)] for n in range(COUNT)]
        out[f"{name}_cpu_s"] = time.process_time() - began
    print(json.dumps(out))


if __name__ == "__main__":
    main()
