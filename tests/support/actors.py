"""Who acts in tests that build operations themselves."""

from models.actor import Actor, ActorType

SHOPPER = Actor(type=ActorType.USER, id="user-1")
