"""The object that is measured with: created at the begin, deleted at the end, each with a few attempts."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from runbooks.errors import PrecheckError
from runbooks.measure.connection import Answer, NotSentError, OwnError, RequestError, host_name
from runbooks.measure.requests import Common
from runbooks.measure.rules import objects
from runbooks.measure.rules.register import Stored

CREATE_S: Final = 30.0
DELETE_S: Final = 5.0
REFUSED: Final = {401, 403}


class Cluster:
    """What is done in the cluster besides the measuring itself. Nothing of this is counted."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._created = False

    async def create(self) -> str:
        """Create the namespace and the object with the number 0; return the object's resourceVersion.

        Raises PrecheckError when that is refused, or not possible within half a minute.
        """
        place, deadline = self._common.place, monotonic() + CREATE_S
        wanted = place.wanted(Stored(number=0))
        while True:
            reason = ""
            try:
                space = await self._ask("POST", objects.NAMESPACES, place.new_namespace())
                self._created = self._created or space.good
                answer = await self._ask("POST", place.collection, wanted) if space.good or space.status == 409 else space
                if answer.status == 409:  # an attempt whose answer was lost
                    answer = await self._ask("GET", place.object)
                if answer.good:
                    return objects.parse(answer.body)[1]
                reason = f"HTTP {answer.status}"
            except (RequestError, OwnError, ValueError) as error:
                self._created = self._created or not isinstance(error, NotSentError)  # it may have been
                reason = str(error)
            if reason in {f"HTTP {each}" for each in REFUSED} or monotonic() > deadline:
                where = f"{host_name(self._common.address)}:{self._common.port}"
                raise PrecheckError(
                    f"what clients see cannot be measured: creating an object of ours through {where} failed: {reason}",
                    hint="inv cluster.verify; this machine itself has to reach the VIP",
                )
            await asyncio.sleep(self._common.pace.every_s)

    async def version(self) -> str:
        """Return the version of Kubernetes that the VIP answers with, "" when it does not answer."""
        try:
            return objects.server_version((await self._ask("GET", "/version")).body)
        except (RequestError, OwnError):
            return ""

    async def delete(self) -> str:
        """Delete the object and its namespace; return the command for a person to do that when it was not possible, else ""."""
        place = self._common.place
        if not self._created:
            return ""
        gone = await asyncio.gather(*(self._gone(path) for path in (place.object, place.namespace)))
        return "" if all(gone) else f"kubectl delete namespace {place.name} --ignore-not-found"

    async def _gone(self, path: str) -> bool:
        deadline = monotonic() + DELETE_S
        while monotonic() < deadline:
            try:
                answer = await self._ask("DELETE", path)
            except (RequestError, OwnError):
                pass
            else:
                if answer.good or answer.status in {404, 409}:  # 409: it is being deleted already
                    return True
            await asyncio.sleep(self._common.pace.every_s)
        return False

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        common = self._common
        until = monotonic() + min(common.timeout_s, DELETE_S)
        connection = await common.client.open(common.address, common.port, until)
        try:
            return await connection.ask(method, path, until, body, last=True)
        finally:
            connection.close()
