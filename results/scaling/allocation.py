"""How to divide compute between model size and data, by the two-variable law and a measured cost of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.contracts import Interval
from model_zoo.errors import InvalidOption, ShapeMismatch
from results.scaling.contracts import Array, Law
from results.scaling.draws import fitted_log, interval_of, log_draws, n_units, outside
from results.scaling.forms import get_form


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What training costs: C = factor N^n_exponent D^d_exponent FLOPs for N parameters and D samples seen.

    Attributes
    ----------
    name : of the family of models, or of the rule.
    spread : standard deviation of ln C around the rule over the models it was measured on; 0 where it was assumed.
    n_models : how many that were.
    note : what could not be measured.
    """

    name: str
    factor: float
    n_exponent: float = 1.0
    d_exponent: float = 1.0
    spread: float = 0.0
    n_models: int = 0
    note: str = ""

    def flops(self, n_params: Array | float, n_samples: Array | float) -> Array:
        """Return the compute that training takes."""
        return np.asarray(self.factor * n_params**self.n_exponent * n_samples**self.d_exponent)

    def samples(self, flops: Array | float, n_params: Array | float) -> Array:
        """Return the samples a model can see for so much compute."""
        return np.asarray((flops / (self.factor * n_params**self.n_exponent)) ** (1 / self.d_exponent))


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """What to train for one budget.

    Attributes
    ----------
    budget : FLOPs.
    n_params, n_samples : parameters and samples seen, with intervals over the law's draws; None without draws.
    beyond : resource -> how many times it lies outside what the law was fitted to; resources inside are not named.
    """

    budget: float
    n_params: float
    n_params_interval: Interval | None
    n_samples: float
    n_samples_interval: Interval | None
    beyond: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """How the best model and the best amount of data grow with compute: N ~ C^n_exponent, D ~ C^d_exponent.

    Attributes
    ----------
    law : name of the law.
    optima : one per budget, in the order asked for.
    level : coverage of the intervals.
    n_draws : draws behind the intervals.
    n_undefined : further draws in which one exponent of the law is not positive, so that no optimum exists.
    """

    law: str
    cost: Cost
    n_exponent: float
    n_exponent_interval: Interval | None
    d_exponent: float
    d_exponent_interval: Interval | None
    optima: tuple[Optimum, ...]
    level: float
    n_draws: int
    n_undefined: int


def product_cost(n_params: Array, n_samples: Array, flops: Array, *, name: str = "all") -> Cost:
    """Return the study's cost, C = m (N D)^n, fitted by least squares of ln C on ln N D.

    Parameters
    ----------
    n_params, n_samples, flops : (n_models,) parameters, samples seen and training FLOPs, > 0.
    name : of what was measured.

    Raises
    ------
    InvalidOption
        Fewer than two different products N D.

    References
    ----------
    Gokce and Schrimpf (2024), arXiv 2411.05712, eq. 8.
    """
    _check_positive(n_params=n_params, n_samples=n_samples, flops=flops)
    product = np.log(n_params) + np.log(n_samples)
    if np.ptp(product) < _SAME:
        raise InvalidOption(
            f"cost of {name}",
            expected="models of two different sizes or amounts of data",
            got=f"{len(product)} of one",
            next_step="pass more models, or state the cost",
        )
    slope, intercept, spread = _line(product, np.log(flops))
    return Cost(
        name=name, factor=np.exp(intercept), n_exponent=slope, d_exponent=slope, spread=spread, n_models=len(flops)
    )


def family_cost(n_params: Array, n_samples: Array, flops: Array, *, name: str) -> Cost:
    """Return a family's cost, C = k N^p D: compute per sample is measured as a power of the parameters.

    Parameters
    ----------
    n_params, n_samples, flops : (n_models,) parameters, samples seen and training FLOPs, > 0.
    name : of the family.

    Notes
    -----
    Compute is proportional to the samples seen, always; what differs between families is how it grows with parameters
    (a convolution uses each of its weights at many places, a linear layer once). Every architecture counts once, in
    spite of many data sets. Where a family has one architecture, p cannot be measured and is taken as 1.
    """
    _check_positive(n_params=n_params, n_samples=n_samples, flops=flops)
    size = np.log(n_params)
    sizes, per_sample = np.unique(np.stack([size, np.log(flops) - np.log(n_samples)], axis=1).round(9), axis=0).T
    if np.ptp(sizes) < _SAME:
        factor = float(np.exp(np.mean(per_sample - sizes)))
        spread = float(per_sample.std())
        note = "one model size: compute per sample is taken as proportional to parameters"
        return Cost(name=name, factor=factor, spread=spread, n_models=len(sizes), note=note)
    slope, intercept, spread = _line(sizes, per_sample)
    if slope <= 0:
        raise InvalidOption(
            f"cost of {name}",
            expected="compute per sample that rises with parameters",
            got=f"a power of {slope:.2f}",
            next_step="divide the family, or use the cost of all models",
        )
    return Cost(name=name, factor=float(np.exp(intercept)), n_exponent=slope, spread=spread, n_models=len(sizes))


def family_costs(n_params: Array, n_samples: Array, flops: Array, families: Sequence[str]) -> dict[str, Cost]:
    """Return the cost of every family, by name; see `family_cost`."""
    labels = np.asarray(families)
    return {
        name: family_cost(n_params[labels == name], n_samples[labels == name], flops[labels == name], name=name)
        for name in dict.fromkeys(families)
    }


def exponents(alpha: Array, beta: Array, cost: Cost) -> tuple[Array, Array]:
    """Return how the optimal N and D grow with compute, as powers of C.

    Parameters
    ----------
    alpha, beta : exponents of the law in N and D, > 0, any one shape.

    Notes
    -----
    With L = E + A N^-alpha + B D^-beta and C = k N^p D^q, the multiplier of the constraint makes both marginal gains
    per relative increase of compute equal: alpha A N^-alpha / p = beta B D^-beta / q. Together with the constraint,

        N ~ C^(beta / (alpha q + beta p)),    D ~ C^(alpha / (alpha q + beta p)).

    p = q = 1 is Hoffmann et al. (2022, eq. 4); p = q = n is the study's eq. 9.
    """
    total = alpha * cost.d_exponent + beta * cost.n_exponent
    return beta / total, alpha / total


def optimum(parameters: Array, budgets: Array, cost: Cost, scales: tuple[float, ...]) -> tuple[Array, Array]:
    """Return the N and D that minimise the two-variable law on each budget.

    Parameters
    ----------
    parameters : (..., 5) log parameters e, a, alpha, b, beta.
    budgets : (n_budgets,) FLOPs.
    scales : units of N and D in the law.

    Returns
    -------
    n_params, n_samples : (..., n_budgets), in parameters and samples; NaN where alpha or beta is not positive.
    """
    _, a, alpha, b, beta = (parameters[..., i, None] for i in range(5))
    p, q = cost.n_exponent, cost.d_exponent
    defined = (alpha > 0) & (beta > 0)
    alpha, beta = np.where(defined, alpha, np.nan), np.where(defined, beta, np.nan)
    log_ratio = np.log(alpha) + a + np.log(q) - np.log(beta) - b - np.log(p)
    log_budget = np.log(budgets) - np.log(cost.factor) - p * np.log(scales[0]) - q * np.log(scales[1])
    log_n = (q * log_ratio + beta * log_budget) / (alpha * q + beta * p)
    log_d = (log_budget - p * log_n) / q
    return np.exp(log_n) * scales[0], np.exp(log_d) * scales[1]


def allocate(law: Law, budgets: Sequence[float], cost: Cost, *, level: float = 0.95) -> Allocation:
    """Return how to divide compute between parameters and data, with intervals over the law's draws.

    Parameters
    ----------
    law : of form "two_variable", its first variable the parameters, its second the samples seen.
    budgets : FLOPs, > 0.
    cost : of training; `product_cost` is the study's, `family_cost` that of one family.

    Raises
    ------
    InvalidOption
        A law of another form, a budget that is not positive, or a fit whose alpha or beta is 0.

    Notes
    -----
    Intervals hold the uncertainty of the law only. That of the cost is its `spread`: a model of this size costs
    exp(+-spread) times as much.

    References
    ----------
    Hoffmann et al. (2022), Training compute-optimal large language models, arXiv 2203.15556, eq. 4. Gokce and
    Schrimpf (2024), arXiv 2411.05712, eq. 7 to 9.
    """
    check_two_variable(law)
    wanted = np.asarray(budgets, dtype=np.float64)
    if not (np.isfinite(wanted) & (wanted > 0)).all():
        raise InvalidOption("budget", expected="FLOPs > 0", got=str(list(budgets)), next_step="name other budgets")
    fitted, draws = fitted_log(law), log_draws(law)
    if not (fitted[2] > 0 and fitted[4] > 0):
        raise InvalidOption(
            f"law {law.name}",
            expected="misalignment that falls with both parameters and data",
            got=f"alpha = {fitted[2]:g}, beta = {fitted[4]:g}",
            next_step="fit more models; no best division of compute exists",
        )
    usable = draws[(draws[:, 2] > 0) & (draws[:, 4] > 0)]
    n_exponent, d_exponent = exponents(fitted[2], fitted[4], cost)
    n_exponents, d_exponents = exponents(usable[:, 2], usable[:, 4], cost)
    sizes, samples = optimum(fitted, wanted, cost, law.points.scales)
    drawn_sizes, drawn_samples = optimum(usable, wanted, cost, law.points.scales)
    optima = [
        Optimum(
            budget=float(budget),
            n_params=float(sizes[i]),
            n_params_interval=interval_of(drawn_sizes[:, i], n_units(law), level, center=sizes[i]),
            n_samples=float(samples[i]),
            n_samples_interval=interval_of(drawn_samples[:, i], n_units(law), level, center=samples[i]),
            beyond=beyond(law, (float(sizes[i]), float(samples[i]))),
        )
        for i, budget in enumerate(wanted)
    ]
    return Allocation(
        law=law.name,
        cost=cost,
        n_exponent=float(n_exponent),
        n_exponent_interval=interval_of(n_exponents, n_units(law), level, center=float(n_exponent)),
        d_exponent=float(d_exponent),
        d_exponent_interval=interval_of(d_exponents, n_units(law), level, center=float(d_exponent)),
        optima=tuple(optima),
        level=level,
        n_draws=len(usable),
        n_undefined=len(draws) - len(usable),
    )


def beyond(law: Law, resources: Sequence[float]) -> dict[str, float]:
    """Return, for resources outside what the law was fitted to, how many times outside.

    Parameters
    ----------
    resources : one value per variable of the law, in their own units.
    """
    observed = law.points.x * np.asarray(law.points.scales)
    ratios = {name: outside(resources[i], observed[:, i]) for i, name in enumerate(law.points.variables)}
    return {name: ratio for name, ratio in ratios.items() if ratio > 1 + _SAME}


def check_two_variable(law: Law) -> None:
    """Raise InvalidOption unless the law has parameters and data as its two variables."""
    form = get_form(law.fit.form)
    if form.name != "two_variable":
        raise InvalidOption(
            f"law {law.name}",
            expected="the form two_variable, E + A N^-alpha + B D^-beta",
            got=f"{form.name}, {form.formula}",
            next_step="fit two_variable to parameters and samples seen",
        )


_SAME = 1e-9


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Return slope and intercept of least squares, and the residuals' standard deviation."""
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    residuals = y - y.mean() - slope * centred
    return slope, float(y.mean() - slope * x.mean()), float(np.sqrt(np.mean(residuals**2)))


def _check_positive(**columns: Array) -> None:
    lengths = {name: np.shape(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        raise ShapeMismatch(
            "cost", expected="one value per model and column", got=str(lengths), next_step="pass equally long columns"
        )
    for name, column in columns.items():
        bad = column[~(np.isfinite(column) & (column > 0))]
        if len(bad) or not len(column):
            raise InvalidOption(
                f"cost: {name}",
                expected="numbers > 0",
                got=f"{bad[0]:g}" if len(bad) else "none",
                next_step="leave out models without it",
            )
