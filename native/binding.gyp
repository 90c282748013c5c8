# The published package builds from here: `npm run build:native` in its folder.
{
  'includes': ['addon.gypi']
}
