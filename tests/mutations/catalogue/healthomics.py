"""Mutants of the HealthOmics provider: idempotency keys, searches, refusals, sweeps."""

import ast
import re
from collections.abc import Sequence

from tests.mutations.changes import always, drop, never, replace
from tests.mutations.mutant import Mutant, Variable
from tests.mutations.picks import call, calls, entry, field_of, handler, has, raises, the, uses
from wes_daemon.adapters.providers.healthomics import error_tables
from wes_daemon.adapters.providers.healthomics.active_runs import ActiveRuns, Sweep, _max_age
from wes_daemon.adapters.providers.healthomics.client import HealthOmicsClient
from wes_daemon.adapters.providers.healthomics.connection import Connection
from wes_daemon.adapters.providers.healthomics.credentials import _CheckedCredentials, _refuse_mfa
from wes_daemon.adapters.providers.healthomics.error_tables import ErrorKind
from wes_daemon.adapters.providers.healthomics.errors import (
    _is_broken_at_proxy,
    error_kind,
    retry_after,
    without_values,
)
from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider
from wes_daemon.adapters.providers.healthomics.refusals import _denial
from wes_daemon.adapters.providers.healthomics.runs import RunIdentity
from wes_daemon.adapters.providers.healthomics.start_request import _tags, start_run_request
from wes_daemon.adapters.providers.healthomics.submission import RunStarter, _final_or_in_doubt
from wes_daemon.adapters.providers.healthomics.transport import check_ca_bundle
from wes_daemon.application.ports.errors import Misconfigured, OutcomeUnknown, Rejected, Unprovable
from wes_daemon.application.ports.providers import Submission

_HERE = "tests/integration/providers"
_SUBMISSION = f"{_HERE}/test_healthomics_submission.py"
_LOST = f"{_SUBMISSION}::TestLostAnswers"
_FOLLOWING = f"{_HERE}/test_healthomics_following.py"
_MANNERS = f"{_HERE}/test_healthomics_manners.py"
_CREDENTIALS = f"{_HERE}/test_healthomics_credentials.py"
_TRANSPORT = f"{_HERE}/test_healthomics_transport.py"
_NEW_MEMBERS = f"{_HERE}/test_healthomics_new_members.py"
_ERRORS = "tests/unit/adapters/test_healthomics_error_table.py"
_REFUSALS = "tests/unit/adapters/test_healthomics_refusals.py"
_LISTING = "tests/unit/adapters/test_healthomics_listing.py"

HEALTHOMICS: Sequence[Mutant] = (
    Mutant(
        name="request-without-id",
        breaks="The SDK invents a request id, so a request that is sent twice starts two runs.",
        at=start_run_request,
        change=drop(entry("requestId")),
        tests=[f"{_LOST}::test_a_run_that_is_not_listed_yet_is_found_by_the_request_id"],
    ),
    Mutant(
        name="request-without-tag",
        breaks="A run of this daemon cannot be distinguished from a run that only has the same name.",
        at=_tags,
        change=drop(the(ast.Call, uses(field_of(Submission).key))),
        tests=["tests/unit/adapters/test_healthomics_requests.py"],
    ),
    Mutant(
        name="start-without-a-search",
        breaks="A run whose request id the service has forgotten is started again.",
        at=RunStarter.submit,
        change=drop(the(ast.If, calls(RunStarter._find))),
        tests=[f"{_LOST}::test_a_run_of_any_age_is_found_though_the_service_has_forgotten_the_request"],
    ),
    Mutant(
        name="no-horizon",
        breaks="A request id that the service may have forgotten is sent again after the first run was deleted.",
        at=RunStarter._refuse_after_horizon,
        change=never(the(ast.If, raises(Unprovable))),
        tests=[f"{_SUBMISSION}::TestForgottenRequests"],
    ),
    Mutant(
        name="name-believed",
        breaks="A foreign run with the same name counts as the daemon's own run.",
        at=RunStarter._owned_run,
        change=replace(the(ast.IfExp), lambda it: it.body),
        tests=[f"{_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="repetition-is-a-refusal",
        breaks="A running run is ended because the service refuses to start it twice.",
        at=RunStarter._resolve_refusal,
        change=never(the(ast.If, raises(OutcomeUnknown))),
        tests=[
            f"{_LOST}::test_a_repeated_request_is_no_rejection_though_the_run_is_not_listed_yet",
            f"{_LOST}::test_a_conflict_that_is_no_repetition_is_left_open",
        ],
    ),
    Mutant(
        name="no-search-after-a-refusal",
        breaks="A run that is listed only after a refusal is not found, and is ended as rejected.",
        at=RunStarter._resolve_refusal,
        change=replace(call(RunStarter._find), "None"),
        tests=[f"{_LOST}::test_a_run_that_is_listed_only_by_then_is_found_after_the_refusal"],
    ),
    Mutant(
        name="rejected-unsearched",
        breaks="A run that was started under other settings is ended as rejected under the new settings.",
        at=RunStarter.submit,
        change=replace(handler(Rejected).the(ast.Return), "raise"),
        tests=[f"{_LOST}::test_a_run_that_was_started_under_other_settings_is_not_rejected"],
    ),
    Mutant(
        name="refusal-takes-back-a-doubt",
        breaks="A run that an earlier attempt may have started is ended because a later attempt was refused.",
        at=_final_or_in_doubt,
        change=always(the(ast.If, uses(field_of(Submission).resumed))),
        tests=[f"{_SUBMISSION}::TestForgottenRequests"],
    ),
    Mutant(
        name="uuid-not-compared",
        breaks="A later run with the id of a deleted run is mistaken for the deleted one.",
        at=RunIdentity.is_of,
        change=replace(the(ast.Return), "return True"),
        tests=[f"{_FOLLOWING}::TestReusedIds"],
    ),
    Mutant(
        name="cancel-without-a-check",
        breaks="A cancellation by a reused id stops a foreign run.",
        at=HealthOmicsProvider.cancel,
        change=drop(the(ast.UnaryOp, has(ast.Not))),
        tests=[f"{_FOLLOWING}::TestReusedIds"],
    ),
    Mutant(
        name="sweep-begun-again-after-an-error",
        breaks="A sweep starts again when the quota is exhausted, so a long sweep never reaches its end.",
        at=_max_age,
        change=replace(call(max), "timedelta(0)"),
        tests=[f"{_FOLLOWING}::TestTrouble", _LISTING],
    ),
    Mutant(
        name="old-report-returned-again",
        breaks="A repeated status request for a run returns the report of the previous request.",
        at=Sweep.consume,
        change=drop(call(dict.update)),
        tests=[f"{_FOLLOWING}::TestManyRuns", _LISTING],
    ),
    Mutant(
        name="part-of-a-sweep-thrown-away",
        breaks="A sweep that one batch does not finish is given up, and each run is requested on its own.",
        at=ActiveRuns._is_worth_a_page,
        change=drop(the(ast.BoolOp).the(ast.Compare, has(ast.GtE))),
        tests=[_LISTING],
    ),
    Mutant(
        name="broken-list-is-empty",
        breaks="A listing that was cut short counts as empty, and the run is started again.",
        at=Connection._create_omics,
        change=drop(call("register")),
        tests=[f"{_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="first-page-is-all",
        breaks="A run on the second page of a listing is not found, and is started again.",
        at=HealthOmicsClient._pages,
        change=never(the(ast.While)),
        tests=[f"{_SUBMISSION}::TestFinding"],
    ),
    Mutant(
        name="silence-means-nothing-happened-at-healthomics",
        breaks="A call that was executed but not answered counts as not executed.",
        at=Variable(error_tables, error_tables.EXCEPTIONS),
        change=replace(entry("ReadTimeoutError"), "other", other=ErrorKind.NOTHING_SENT),
        tests=[_ERRORS],
    ),
    Mutant(
        name="lost-answer-behind-a-proxy-means-not-sent",
        breaks="A run that was started counts as not sent, because the proxy ended the connection before the answer.",
        at=error_kind,
        change=never(the(ast.If, calls(_is_broken_at_proxy))),
        tests=[_ERRORS, f"{_TRANSPORT}::TestProxy"],
    ),
    Mutant(
        name="sdk-tries-by-itself",
        breaks="The SDK repeats a request without waiting for the rate limiter.",
        at=Connection._create,
        change=replace(entry("total_max_attempts"), "3"),
        tests=[f"{_MANNERS}::TestNetwork"],
    ),
    Mutant(
        name="required-wait-not-kept-at-healthomics",
        breaks="A service that has named a time is called before that time.",
        at=HealthOmicsClient._report_limits,
        change=drop(the(ast.If, calls(retry_after)).part(lambda it: it.body[0])),
        tests=[f"{_MANNERS}::TestStorm::test_the_time_that_a_service_names_holds_for_everybody"],
    ),
    Mutant(
        name="failed-renewal-counts-as-sent",
        breaks="Credentials that cannot be renewed while StartRun is signed put a run in doubt that was never sent.",
        at=_CheckedCredentials.get_frozen_credentials,
        change=replace(the(ast.With), lambda it: it.body[0]),
        tests=[f"{_CREDENTIALS}::TestRenewal"],
    ),
    Mutant(
        name="mfa-is-asked-for",
        breaks="A profile with MFA makes the daemon wait for a code at its terminal.",
        at=_refuse_mfa,
        change=never(the(ast.If, raises(Misconfigured))),
        tests=[f"{_CREDENTIALS}::test_an_mfa_code_is_not_asked_for"],
    ),
    Mutant(
        name="ca-bundle-unread",
        breaks="A CA bundle that cannot be read is not named.",
        at=Connection._check_transport,
        change=drop(call(check_ca_bundle)),
        tests=[f"{_TRANSPORT}::TestCaBundle"],
    ),
    Mutant(
        name="denial-read-anywhere",
        breaks="A run's own value in a denial decides whose fault the denial is.",
        at=_denial,
        change=replace(call(re.Pattern.match), "_NOT_AUTHORIZED.search(refusal.text)"),
        tests=[_REFUSALS],
    ),
    Mutant(
        name="parameters-address-quoted",
        breaks="A message of the service shows the presigned address of a run's parameters.",
        at=HealthOmicsClient._translating_errors,
        change=replace(call(without_values), "raised"),
        tests=[_NEW_MEMBERS],
    ),
)
