"""What every site can rely on, whatever its parts are made of: promises, checked on the resources of whole sites."""
