# A doorway for tools that expect node-gyp: the build itself is CMakeLists.txt, driven by cmake-js.
{
  "targets": [
    {
      "target_name": "mlit",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_js",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/mlit.node"],
          "action": ["node", "node_modules/cmake-js/bin/cmake-js", "build", "--config", "Release"],
          "message": "building build/Release/mlit.node by cmake-js"
        }
      ]
    }
  ]
}
