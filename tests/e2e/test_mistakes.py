"""Mistakes a user can make: the right exit code, one message that says where and what to do, no traceback."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import ROOT, Site, run_job, site

DAY = ["--date", "2025-03-31"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("mistakes"), customers=60, days=30) as small:
        small.load_initial()
        yield small


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


def message(capfd: pytest.CaptureFixture[str]) -> str:
    err = capfd.readouterr().err
    assert "Traceback" not in err
    return err


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_configuration(here: Site, conf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(conf / "sources" / "transactions.yaml", "watermark:", "watermrk:")
    variables = here.environment(tmp_path / "lake", here.world.first_extraction)
    assert run_job("run_pipeline", DAY, variables, conf) == 2
    shown = message(capfd)
    assert f"{conf / 'sources' / 'transactions.yaml'}: source.watermrk: unknown key" in shown
    assert "Did you mean 'watermark'?" in shown


def test_secret_that_is_not_set(here: Site, tmp_path: Path, conf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    edit(conf / "env" / "local.yaml", "env:CRM_PASSWORD", "env:CRM_PASSWORD_TYPO")
    variables = here.environment(tmp_path / "lake", here.world.first_extraction)
    assert run_job("extract_bronze", [*DAY, "--source", "transactions"], variables, conf) == 2
    shown = message(capfd)
    assert "CRM_PASSWORD_TYPO" in shown
    assert "password" in shown


def test_unknown_source(here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    variables = here.environment(tmp_path / "lake", here.world.first_extraction)
    assert run_job("extract_bronze", [*DAY, "--source", "transaction"], variables) == 2
    shown = message(capfd)
    assert "'transaction'" in shown
    assert "support_tickets, transactions" in shown


def test_wrong_password(here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Without a fixed clock the source is asked for its time, which is the first thing that needs the password.
    variables = here.environment(tmp_path / "lake", here.world.first_extraction)
    variables |= {"CRM_PASSWORD": "not-the-password", "HEADWATER_CLOCK": "source"}
    assert run_job("extract_bronze", [*DAY, "--source", "transactions"], variables) == 2
    shown = message(capfd)
    assert "connections.crm" in shown
    assert "not-the-password" not in shown


def test_unreachable_server(here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    variables = here.environment(tmp_path / "lake", here.world.first_extraction)
    variables |= {"CRM_JDBC_URL": "jdbc:postgresql://127.0.0.1:1/shop", "HEADWATER_CLOCK": "source"}
    assert run_job("extract_bronze", [*DAY, "--source", "transactions"], variables) == 4
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    assert "127.0.0.1:1" in captured.err
    assert '"attempts": 3' in captured.out


def test_result_file_says_how_the_run_ended(here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lake = tmp_path / "lake"
    variables = here.environment(lake, here.world.first_extraction)
    assert run_job("extract_bronze", [*DAY, "--source", "nope", "--run-id", "r1"], variables) == 2
    text = (lake / "ops" / "results" / "r1.json").read_text()
    assert text.strip().replace(" ", "").replace("\n", "") in capfd.readouterr().out.replace(" ", "")
    assert '"status": "failed"' in text
    assert '"unknown_source"' in text


def test_dry_run_of_everything_on_an_empty_lake(here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lake = tmp_path / "lake"
    variables = here.environment(lake, here.world.first_extraction)
    assert run_job("run_pipeline", [*DAY, "--dry-run"], variables) == 0
    shown = capfd.readouterr().out
    assert "extract support_tickets" in shown
    assert "40 dates 2025-02-20 .. 2025-03-31, once there is silver" in shown
    assert not lake.exists()


def test_dry_run_prints_the_plan_and_writes_nothing(
    here: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "lake"
    variables = here.environment(lake, here.world.first_extraction)
    assert run_job("extract_bronze", [*DAY, "--source", "transactions", "--dry-run"], variables) == 0
    assert "extract transactions as of 2025-04-01 02:00:00 UTC" in capfd.readouterr().out
    assert not lake.exists()
