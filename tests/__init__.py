"""The tests of the service, the SDK and the packages they ship in."""
