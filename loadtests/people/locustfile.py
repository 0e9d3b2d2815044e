"""What Locust runs: the people, the shape of the plan, and the result in the end.

    python -m loadtests spike

starts it with a plan in the environment; by itself it has none.
"""

import time
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events

from loadtests.people.person import Person
from loadtests.people.plan import Plan, Result
from loadtests.people.shapes import people_at
from loadtests.people.stock import Stock
from loadtests.people.users import Forger, Honest, Impatient, Rivals, Viewer

__all__ = ["Forger", "Honest", "Impatient", "Rivals", "Shape", "Viewer"]

SPAWNED_A_SECOND = 100.0  # more at once, and Locust stands still while they come
PERCENTILES = (0.5, 0.75, 0.9, 0.99, 0.999, 1.0)

plan = Plan.of_environment()
stock = Person.stock = Stock(plan)
began_cpu_s = time.process_time()


class Shape(LoadTestShape):
    """The plan's number of people at each moment."""

    def tick(self) -> tuple[int, float] | None:
        people = people_at(plan.shape, self.get_run_time(), seconds=plan.seconds, users=plan.users)
        return None if people is None else (people, SPAWNED_A_SECOND)


@events.quitting.add_listener
def write_result(environment: Any, **rest: Any) -> None:
    stock.close()
    cpu_s = time.process_time() - began_cpu_s
    total = environment.stats.total
    Result(
        requests=total.num_requests,
        errors=stock.errors,
        wrong_count=stock.wrong_count,
        wrong=stock.wrong,
        did=dict(stock.did),
        codes_sent=stock.codes_sent,
        ran_out_of_codes=stock.ran_out,
        latency_ms={
            f"p{percentile * 100:g}": total.get_response_time_percentile(percentile) or 0.0
            for percentile in PERCENTILES
        },
        answers_per_second=total.total_rps,
        cpu_us_per_request=cpu_s * 1e6 / max(total.num_requests, 1),
        busy_share=cpu_s / plan.seconds,
    ).write(Path(plan.result))
