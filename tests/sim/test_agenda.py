"""Agenda: events come out by time, rank, chain and serial number."""

from hypothesis import given
from hypothesis import strategies as st

from sim.agenda import (
    ACCRUAL_RANK,
    BLOCK_RANK,
    DELIVERY_RANK,
    ORACLE_RANK,
    PYTHON_RANK,
    SAMPLE_RANK,
    SHOCK_RANK,
    has_room,
    make_agenda,
    schedule,
    take,
)

RANKS = (SHOCK_RANK, DELIVERY_RANK, ORACLE_RANK, ACCRUAL_RANK, BLOCK_RANK, SAMPLE_RANK, PYTHON_RANK)


def put(agenda, time, rank=0, chain=0, a=0):
    return schedule(agenda, time, rank, chain, 3, a, -a, 0.5 * a, 0.25)


def drain(agenda):
    found = []
    while agenda.size[0] > 0:
        event = take(agenda)
        found.append((int(event["time"]), int(event["rank"]), int(event["chain"]), int(event["a"])))
    return found


def test_ranks_are_in_the_documented_order():
    assert list(RANKS) == sorted(RANKS)
    assert len(set(RANKS)) == 7


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(RANKS), st.integers(0, 2)), max_size=60)
)
def test_events_come_out_in_order(events):
    agenda = make_agenda(64)
    for a, (time, rank, chain) in enumerate(events):
        put(agenda, time, rank, chain, a)
    expected = sorted((*event, a) for a, event in enumerate(events))
    assert drain(agenda) == expected


@given(st.lists(st.integers(0, 9) | st.none(), max_size=80))
def test_events_may_be_taken_between_insertions(steps):
    agenda, waiting, serial = make_agenda(100), [], 0
    for step in steps:
        if step is not None:
            put(agenda, step, a=serial)
            waiting.append((step, serial))
            serial += 1
        elif waiting:
            waiting.sort()
            event = take(agenda)
            assert (int(event["time"]), int(event["a"])) == waiting.pop(0)
    assert [(t, a) for t, _, _, a in drain(agenda)] == sorted(waiting)


def test_an_event_keeps_what_it_was_given():
    agenda = make_agenda(4)
    assert put(agenda, 7, SAMPLE_RANK, 2, 11) == 0
    event = take(agenda)
    assert [event[name] for name in ("time", "rank", "chain", "handler", "a", "b", "x", "y")] == [
        *(7, SAMPLE_RANK, 2, 3, 11, -11),
        *(5.5, 0.25),
    ]


def test_a_full_agenda_says_so():
    agenda = make_agenda(2)
    put(agenda, 1)
    assert has_room(agenda)
    put(agenda, 2)
    assert not has_room(agenda)
    assert [event[0] for event in drain(agenda)] == [1, 2]


def test_serial_numbers_count_on():
    agenda = make_agenda(4)
    assert [put(agenda, 5), put(agenda, 5)] == [0, 1]
    take(agenda)
    assert put(agenda, 5) == 2
