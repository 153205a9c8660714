"""Classes with properties, inheritance, observers, context managers: a bank."""

import contextlib
import functools


class Rejected(Exception):
    pass


def logged(method):
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        self.log.append("> " + method.__name__)
        try:
            result = method(self, *args, **kwargs)
        except Rejected as refusal:
            self.log.append("! %s" % refusal)
            raise
        else:
            self.log.append("< %r" % (result,))
            return result

    return wrapper


class Account:
    rate = 0.0

    def __init__(self, owner, balance=0):
        self.owner = owner
        self._balance = balance
        self.log = []
        self.watchers = []

    @property
    def balance(self):
        return self._balance

    @balance.setter
    def balance(self, value):
        if value < self.floor():
            raise Rejected("%s would have %s" % (self.owner, value))
        self._balance = value
        for watcher in self.watchers:
            watcher(self)

    def floor(self):
        return 0

    @logged
    def deposit(self, amount):
        self.balance += hop(amount)
        return self.balance

    @logged
    def withdraw(self, amount):
        self.balance -= amount
        return hop(self.balance)


class Credit(Account):
    rate = 0.1

    def floor(self):
        return super().floor() - 100


@contextlib.contextmanager
def transaction(*accounts):
    before = [(a, a._balance) for a in accounts]
    try:
        yield accounts
    except Rejected as refusal:
        for account, balance in before:
            account._balance = balance
        print("rolled back:", refusal)
    else:
        print("committed")


seen = []
ann, bob = Account("ann", 50), Credit("bob")
for account in (ann, bob):
    account.watchers.append(lambda a: seen.append((a.owner, a.balance)))
for amount in (30, 40, 90):
    with transaction(ann, bob):
        bob.withdraw(amount)
        hop()
        ann.deposit(amount)
        if amount == 40:
            ann.withdraw(1000)
print(ann.balance, bob.balance)
print(*ann.log, *bob.log, sep="\n")
print(seen)
