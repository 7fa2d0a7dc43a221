// Regular expressions for what the label `unit` says. A name that matches none of these goes into no command.
local engines = [std.strReplace(std.strReplace(name, '.service', ''), '.', '[.]') for name in import 'engines.json'];
{
  // What runs inside a machine or container stands behind a slash: never the host's unit of that name.
  inside: '^[a-z]+:[A-Za-z0-9:_.-]+/[A-Za-z0-9:_.@-]+$',
  // The same by any name, a machine, or the path of a cgroup.
  elsewhere: '/|^machine:',
  // Services for one connection each.
  template: @'^[A-Za-z0-9:_.\\-]+@[.]service$',
  // The connections of an engine are those that it passes on to its containers.
  engine: '^(%s)[.]service$' % std.join('|', engines),
  // systemd starts no scope, and a user's manager has all that the user runs.
  session: '^(user@[0-9]+[.]service|[A-Za-z0-9:_.@-]+[.]scope)$',
  service: '^[A-Za-z0-9:_.@-]+[.]service$',
  // systemd escapes by backslashes, which a shell takes off.
  escaped: @'^[A-Za-z0-9:_.@\\-]+[.]service$',
}
