"""The fixtures themselves: a test that asks for a database gets a real, empty one."""

from sqlalchemy import create_engine, text

from tests.databases import NewDatabase


def test_every_database_is_empty_and_its_own(new_database: NewDatabase) -> None:
    urls = [new_database("sqlite"), new_database("sqlite"), new_database("postgresql"), new_database("postgresql")]

    for url in urls:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE only_here (n integer)"))  # fails if it is somebody else's
        engine.dispose()

    assert len(set(urls)) == 4


def test_a_test_runs_on_both_kinds(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        answer = connection.execute(text("SELECT 1")).scalar_one()
    engine.dispose()

    assert answer == 1
    assert empty_database_url.startswith(("sqlite:///", "postgresql+psycopg://"))
